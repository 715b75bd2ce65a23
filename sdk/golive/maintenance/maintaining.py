"""One run of the maintenance, whatever the store is."""

import datetime as dt
from typing import NamedTuple

from sqlalchemy import URL, Engine

from golive import database, governance
from golive.errors import ConfigurationError
from golive.maintenance import dropping, growing, partitions
from golive.maintenance.retention import Retention, retention
from golive.maintenance.rows import delete_old


class Maintained(NamedTuple):
    """What a run did, or would do.

    Attributes:
        before: What happened and was recorded before then is too old; None: nothing is.
        events_deleted: How many events went, without those of dropped partitions.
        events_kept: How many were looked at, are too old, and stay because a tripwire reads them.
        partitioned: Whether this run made the table a partitioned one.
        partitions_made: Which partitions got their end, so that the next one begins.
        partitions_dropped: Which were dropped.
        busy: Whether nothing was done because somebody else is doing it.
    """

    before: dt.datetime | None = None
    events_deleted: int = 0
    events_kept: int = 0
    partitioned: bool = False
    partitions_made: tuple[str, ...] = ()
    partitions_dropped: tuple[str, ...] = ()
    busy: bool = False


def maintain(
    url: URL,
    *,
    retention_days: int | None = None,
    partition: bool = False,
    dry_run: bool = False,
    now: dt.datetime | None = None,
) -> Maintained:
    """Make and drop partitions where there are any, and delete events that are too old.

    Safe at any time, by several at once, and when it is interrupted.

    Args:
        url: The store.
        retention_days: For how many days events are kept; for ever if None.
        partition: Make a plain table a partitioned one; on PostgreSQL.
        dry_run: Change nothing.
        now: What time it is; by default the database's time, for a clock that is ahead would delete too much.

    Raises:
        InvalidArgument: There is no such retention.
        ConfigurationError: The store has no partitions.
        SchemaError: The database has no golive tables, or old ones.
        GoliveError: The table cannot be partitioned as it is, or was in use all the time; the message says
            what is in the way.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be used.
    """
    engine = database.create_store_engine(url)
    try:
        with engine.begin() as connection:
            database.check_schema(connection)
            now = now or governance.now_of(connection)
            may_go = None if retention_days is None else retention(connection, retention_days, now)
        if engine.dialect.name == "postgresql":
            # What the catalogue says is asked anew once the table is locked.
            engine = engine.execution_options(isolation_level="READ COMMITTED")
            with partitions.alone(engine) as is_alone:
                if not is_alone:
                    return Maintained(busy=True)
                return _maintain_partitions(engine, may_go, partition, dry_run, now)
        if partition:
            raise ConfigurationError("only PostgreSQL has partitions")
        return _delete(engine, may_go, dry_run)
    finally:
        engine.dispose()


def _maintain_partitions(
    engine: Engine, may_go: Retention | None, partition: bool, dry_run: bool, now: dt.datetime
) -> Maintained:
    with engine.begin() as connection:
        found = partitions.layout(connection)
    partitioned = partition and found.partitions is None
    if partitioned:
        growing.partition(engine, dry_run=dry_run)
    if found.partitions is None and not partition:
        return _delete(engine, may_go, dry_run)
    if partitioned and dry_run:
        return _delete(engine, may_go, dry_run)._replace(partitioned=True)
    made = growing.make_months(engine, now, dry_run=dry_run)
    if may_go is None:
        return Maintained(partitioned=partitioned, partitions_made=tuple(made))
    with engine.begin() as connection:
        can_drop = dropping.can_drop(connection, may_go)
    dropped: list[str] = []
    if can_drop:
        dropped = dropping.drop_months(engine, may_go, dry_run=dry_run)
        with engine.begin() as connection:
            first = (partitions.layout(connection).partitions or [])[0]
        # What is from before there were months, or was kept of those that are gone, does not go whole.
        below = 0 if first.lower is not None else min(may_go.below_id, first.upper or may_go.below_id)
        may_go = may_go._replace(below_id=below)
    deleted = _delete(engine, may_go, dry_run)
    return deleted._replace(
        partitioned=partitioned, partitions_made=tuple(made), partitions_dropped=tuple(dropped)
    )


def _delete(engine: Engine, may_go: Retention | None, dry_run: bool) -> Maintained:
    if may_go is None:
        return Maintained()
    deleted = delete_old(engine, may_go, dry_run=dry_run)
    return Maintained(may_go.before, deleted.gone, deleted.kept)
