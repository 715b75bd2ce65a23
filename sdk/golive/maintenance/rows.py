"""Old events deleted from a table as it is: by ranges of its key, each in a short transaction of its own."""

import json
import time
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, select, text

from golive.maintenance.retention import Place, Retention
from golive.models import KpiEventRow

BATCH_ROWS: Final = 2_000
"""How many rows a transaction looks at: some 20 ms, for SQLite lets nobody else write meanwhile."""
_VACUUMED_PAGES = 1_000
_INCREMENTAL = 2
"""SQLite's number for `auto_vacuum = INCREMENTAL`."""

# Not a range of ids: an event that arrives after the look may have an id in it and be one that stays.
_DELETE = {
    "sqlite": text("DELETE FROM kpi_event WHERE id IN (SELECT value FROM json_each(:ids))"),
    "postgresql": text(
        "DELETE FROM kpi_event USING (SELECT CAST(value AS bigint) AS id FROM "
        "json_array_elements_text(CAST(CAST(:ids AS text) AS json)) AS t (value)) AS gone "
        "WHERE kpi_event.id = gone.id"
    ),
}


class Deleted(NamedTuple):
    """How many events went, and how many old ones stay because a tripwire reads them."""

    gone: int = 0
    kept: int = 0


def delete_old(engine: Engine, retention: Retention, *, dry_run: bool = False) -> Deleted:
    """Delete what may go. Interrupted or run by several at once, it has only done so much less.

    Between two transactions it rests as long as the last one took, so that writers have their turn.

    Args:
        engine: Of the store.
        retention: What may go.
        dry_run: Only count.
    """
    gone = kept = 0
    after: int | None = None
    while True:
        started = time.monotonic()
        with engine.begin() as connection:
            batch = _Batch.read(connection, retention, after)
        if batch.last is None:
            break
        if batch.old and not dry_run:
            with engine.begin() as connection:
                connection.execute(_DELETE[engine.dialect.name], {"ids": json.dumps(batch.old)})
        after = batch.last
        gone, kept = gone + len(batch.old), kept + batch.kept
        if not dry_run:
            time.sleep(time.monotonic() - started)
    if gone and not dry_run and engine.dialect.name == "sqlite":
        _give_back(engine)
    return Deleted(gone, kept)


class _Batch(NamedTuple):
    """The next rows by id: the last of them, those that may go, and how many a tripwire reads."""

    last: int | None
    old: list[int]
    kept: int

    @classmethod
    def read(cls, connection: Connection, retention: Retention, after: int | None) -> "_Batch":
        row = KpiEventRow
        query = select(row.id, row.domain, row.metric, row.created_at).where(row.id < retention.below_id)
        if after is not None:
            query = query.where(row.id > after)
        last: int | None = None
        old: list[int] = []
        kept = 0
        for last, domain, metric, created_at in connection.execute(query.order_by(row.id).limit(BATCH_ROWS)):
            if not retention.is_old(created_at):
                continue
            if retention.is_read((domain, metric), Place(created_at, last)):
                kept += 1
            else:
                old.append(last)
        return cls(last, old, kept)


def _give_back(engine: Engine) -> None:
    """Give freed pages back to the file system where the file is made for it; else SQLite reuses them."""
    with engine.connect() as connection:
        pragma = connection.connection.cursor()
        while pragma.execute("PRAGMA auto_vacuum").fetchone() == (_INCREMENTAL,):
            if pragma.execute("PRAGMA freelist_count").fetchone() == (0,):
                break
            # Some pages at a time, each a transaction; `fetchall`, for a step frees one page.
            pragma.execute(f"PRAGMA incremental_vacuum({_VACUUMED_PAGES})").fetchall()
        # Not TRUNCATE, which would have writers wait for readers.
        pragma.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
