"""Partitions dropped: whole months that are older than the retention, but for what tripwires read."""

import datetime as dt
from typing import Final

from sqlalchemy import Connection, Engine, text

from golive.instants import EPOCH
from golive.maintenance.partitions import (
    GONE,
    KEPT,
    TABLE,
    Layout,
    Partition,
    columns_of,
    execute,
    layout,
    locked,
    own,
)
from golive.maintenance.retention import Retention, first_id

_NEXT = "kpi_event_kept_next"
_RANGE = "golive_kept"
_SLACK: Final = dt.timedelta(days=1)
"""How much later than it was recorded an event may have happened: an hour is allowed, and clocks differ."""


_SMALL_ID: Final = first_id(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
"""Smaller ids are no times: rows from before golive have them, or of an application that still writes."""
_SMALL_IDS: Final = 50_000
"""So many are looked at while everybody waits."""


def can_drop(connection: Connection, retention: Retention) -> bool:
    """Tell whether ids show how old partitions are: whether few events have small ones, and no young one."""
    table = layout(connection).sql(TABLE)
    small, young = connection.execute(
        text(
            "SELECT count(*), count(*) FILTER (WHERE created_at >= :before) FROM "
            f"(SELECT created_at FROM {table} WHERE id < {_SMALL_ID} LIMIT {_SMALL_IDS + 1}) AS t"
        ),
        {"before": retention.before},
    ).one()
    return bool(small <= _SMALL_IDS and not young)


def drop_months(engine: Engine, retention: Retention, *, dry_run: bool = False) -> list[str]:
    """Drop the partitions all of whose events may go, but for those a tripwire reads; return their names.

    Those are copied before, while everybody goes on; the places are changed in one short transaction, and
    what has none any more is dropped after it.

    Raises:
        GoliveError: The table was in use all the time.
    """
    with engine.begin() as connection:
        found = layout(connection)
    old = _old(found, retention)
    upper = old[-1].upper if old else None
    names = [partition.name for partition in old if partition.name != KEPT]
    if dry_run:
        return names
    _drop_gone(engine)
    if names and upper is not None:
        with engine.begin() as connection:
            _make_next(connection, found, upper)
        for stream in retention.floors:
            with engine.begin() as connection:
                _copy(connection, found, retention, stream, upper)
        if not locked(engine, lambda connection: _exchange(connection, retention, upper, old)):
            return []
        _drop_gone(engine)
    return names


def _old(found: Layout, retention: Retention) -> list[Partition]:
    """Return the partitions that end before everything that stays; the one with what is kept leads them."""
    end = first_id(max(retention.before - _SLACK, EPOCH))
    return [
        partition
        for partition in found.partitions or ()
        if partition.upper is not None and partition.upper <= end
    ]


def _make_next(connection: Connection, found: Layout, upper: int) -> None:
    table = found.sql(_NEXT)
    execute(
        connection,
        f"DROP TABLE IF EXISTS {table}",  # of a run that was killed
        f"CREATE TABLE {table} (LIKE {found.sql(TABLE)} INCLUDING ALL)",
        f"ALTER TABLE {table} ADD CONSTRAINT {_RANGE} CHECK (id < {upper})",
    )
    own(connection, found, _NEXT)


def _copy(
    connection: Connection, found: Layout, retention: Retention, stream: tuple[str, str], upper: int
) -> None:
    """Copy what a tripwire reads of a stream, unless it has been."""
    columns = ", ".join(columns_of(connection, found))
    floor = retention.floors[stream]
    since = "" if floor is None else "AND (created_at, id) >= (%(created_at)s, %(id)s) "
    values = {"domain": stream[0], "metric": stream[1]} | ({} if floor is None else floor._asdict())
    into, names = found.sql(_NEXT).replace("%", "%%"), columns.replace("%", "%%")
    execute(connection, "SET LOCAL enable_sort = off")  # see `SqlReader`
    connection.exec_driver_sql(
        f"INSERT INTO {into} ({names}) SELECT {names} FROM {found.sql(TABLE).replace('%', '%%')} "
        f"WHERE domain = %(domain)s AND metric = %(metric)s AND id < {upper} {since}"
        "ON CONFLICT (id) DO NOTHING",
        values,
    )


def _exchange(connection: Connection, retention: Retention, upper: int, old: list[Partition]) -> bool:
    """Put what is kept in the place of the old partitions, in the open transaction, unless it cannot be."""
    found = layout(connection)
    if (found.partitions or [])[: len(old)] != old or not can_drop(connection, retention):
        return False
    for stream in retention.floors:
        _copy(connection, found, retention, stream, upper)  # what came since
    parent, next_ = found.sql(TABLE), found.sql(_NEXT)
    for partition in old:
        gone = GONE + partition.name.removeprefix("kpi_event_")
        execute(
            connection,
            f"ALTER TABLE {parent} DETACH PARTITION {found.sql(partition.name)}",
            f'ALTER TABLE {found.sql(partition.name)} RENAME TO "{gone}"',
        )
    execute(
        connection,
        f"ALTER TABLE {parent} ATTACH PARTITION {next_} FOR VALUES FROM (MINVALUE) TO ('{upper}')",
        f"ALTER TABLE {next_} DROP CONSTRAINT {_RANGE}",
        f'ALTER TABLE {next_} RENAME TO "{KEPT}"',
    )
    return True


def _drop_gone(engine: Engine) -> None:
    """Drop what was detached, also by a run that was killed then; each by itself, for files take a while."""
    with engine.begin() as connection:
        found = layout(connection)
        gone = connection.scalars(
            text(
                "SELECT tablename FROM pg_tables WHERE schemaname = :schema AND starts_with(tablename, :gone)"
            ),
            {"schema": found.schema, "gone": GONE},
        ).all()
    for name in gone:
        with engine.begin() as connection:
            execute(connection, f"DROP TABLE IF EXISTS {found.sql(name)}")
