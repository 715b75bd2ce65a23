"""One run of the maintenance, whatever the store is."""

import datetime as dt
from typing import NamedTuple

from sqlalchemy import URL

from golive import database
from golive.maintenance.retention import retention
from golive.maintenance.rows import delete_old
from golive.models.base import utc_now


class Maintained(NamedTuple):
    """What a run did, or would do.

    Attributes:
        before: What happened and was recorded before then is too old; None: nothing is.
        events_deleted: How many events went.
        events_kept: How many are too old and stay, because a tripwire reads them.
    """

    before: dt.datetime | None = None
    events_deleted: int = 0
    events_kept: int = 0


def maintain(
    url: URL, *, retention_days: int | None = None, dry_run: bool = False, now: dt.datetime | None = None
) -> Maintained:
    """Delete events that are too old. Safe at any time, by several at once, and when it is interrupted.

    Args:
        url: The store.
        retention_days: For how many days events are kept; for ever if None.
        dry_run: Change nothing.
        now: What time it is; the clock's by default.

    Raises:
        InvalidArgument: There is no such retention.
        SchemaError: The database has no golive tables, or old ones.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be used.
    """
    now = now or utc_now()
    engine = database.create_store_engine(url)
    try:
        with engine.begin() as connection:
            database.check_schema(connection)
            may_go = None if retention_days is None else retention(connection, retention_days, now)
        if may_go is None:
            return Maintained()
        deleted = delete_old(engine, may_go, dry_run=dry_run)
        return Maintained(may_go.before, deleted.gone, deleted.kept)
    finally:
        engine.dispose()
