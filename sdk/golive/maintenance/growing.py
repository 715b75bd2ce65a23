"""Partitions made: the table becomes the first of them, and each month gets one before it begins.

Both are one act: the partition without end is closed at the beginning of a month, and an empty one follows.
"""

import datetime as dt
from typing import Final

from sqlalchemy import Connection, Engine, text

from golive.errors import GoliveError
from golive.maintenance.partitions import (
    OPEN,
    TABLE,
    Layout,
    Partition,
    bound,
    columns_of,
    execute,
    layout,
    locked,
    month,
    name_before,
    own,
)
from golive.maintenance.retention import first_id
from golive.maintenance.standing_in import check_can_stand_in, stand_in
from golive.names import CLOSING_CONSTRAINT

MONTHS_AHEAD: Final = 2
LARGE_ROWS: Final = 50_000
"""A partition with more rows is not read through while everybody waits."""
_AHEAD_ROWS = 10_000
_FAR = dt.timedelta(days=31)


def partition(engine: Engine, *, dry_run: bool = False) -> None:
    """Make the table the only partition of one of its name; only the catalogue changes, whatever its size.

    Args:
        engine: Of the store.
        dry_run: Only look whether that is possible.

    Raises:
        GoliveError: The table has something that would be lost; the message names it.
    """
    with engine.begin() as connection:
        check_can_stand_in(connection, layout(connection))

    def act(connection: Connection) -> None:
        found = layout(connection)
        if found.partitions is None:
            check_can_stand_in(connection, found)
            stand_in(connection, found)

    if not dry_run:
        locked(engine, act)


def make_months(engine: Engine, now: dt.datetime, *, dry_run: bool = False) -> list[str]:
    """Make the partitions of this month and of the next ones; return the names of those that were closed.

    Raises:
        GoliveError: Too many events are from after these months; or the table was in use all the time.
    """
    made: list[str] = []
    with engine.begin() as connection:
        found = layout(connection)
        started = _open(found).lower
        large = started is None or started < first_id(month(now, 1))
        large = large and _is_large(connection, found)
    if not dry_run:
        _forget_unfinished(engine)
    while started is None or started < first_id(month(now, MONTHS_AHEAD + 1)):
        end = _next_end(started, now, large)
        if not dry_run:
            _close(engine, end, large=large)
        made.append(name_before(end))
        started, large = first_id(end), False
    return made


def _next_end(started: int | None, now: dt.datetime, large: bool) -> dt.datetime:
    """Return where the open partition is to end: after what is being written now.

    A large one gets a month more, for until it is closed no event from after its end can be written.
    """
    end = month(now + _FAR, 1) if large else month(now, 1)
    while started is not None and first_id(end) <= started:
        end = month(end, 1)
    return end


def _close(engine: Engine, end: dt.datetime, *, large: bool) -> None:
    last = first_id(end)
    with engine.begin() as connection:
        found = layout(connection)
        ahead = _count(connection, f"{found.sql(OPEN)} WHERE id >= {last}", _AHEAD_ROWS + 1)
    if ahead > (0 if large else _AHEAD_ROWS):
        raise GoliveError(
            f"{'more than ' if ahead > _AHEAD_ROWS else ''}{min(ahead, _AHEAD_ROWS):,} events have ids from "
            f"{end:%Y-%m-%d} on, as events with a time in the future have: no partition can end there. "
            f"See SELECT * FROM {TABLE} WHERE id >= {last}"
        )
    if large:
        _prove(engine, found, last)
    locked(engine, lambda connection: _cut(connection, end, last))


def _prove(engine: Engine, found: Layout, last: int) -> None:
    """Have PostgreSQL know that no id is from after the end, by reading the rows while all others go on."""
    table = found.sql(OPEN)

    lower = _open(found).lower
    since = "" if lower is None else f"id >= {lower} AND "

    def begin(connection: Connection) -> None:
        check = f"ADD CONSTRAINT {CLOSING_CONSTRAINT} CHECK ({since}id < {last}) NOT VALID"
        execute(connection, f"ALTER TABLE {table} {check}")

    locked(engine, begin)
    try:
        with engine.begin() as connection:
            execute(connection, f"ALTER TABLE {table} VALIDATE CONSTRAINT {CLOSING_CONSTRAINT}")
    except BaseException:
        _forget_unfinished(engine)
        raise


def _cut(connection: Connection, end: dt.datetime, last: int) -> None:
    """Give the open partition its end, and make the next one, in the open transaction."""
    found = layout(connection)
    before = _open(found)
    if before.lower is not None and before.lower >= last:
        return
    name = name_before(end)
    closed, parent, opened = found.sql(name), found.sql(TABLE), found.sql(OPEN)
    columns = ", ".join(columns_of(connection, found))
    since = bound(before.lower, "MINVALUE")
    execute(
        connection,
        f"ALTER TABLE {parent} DETACH PARTITION {opened}",
        f'ALTER TABLE {opened} RENAME TO "{name}"',
        f"CREATE TABLE {opened} PARTITION OF {parent} FOR VALUES FROM ('{last}') TO (MAXVALUE)",
        f"WITH ahead AS (DELETE FROM {closed} WHERE id >= {last} RETURNING {columns}) "
        f"INSERT INTO {parent} ({columns}) SELECT {columns} FROM ahead",
        f"ALTER TABLE {parent} ATTACH PARTITION {closed} FOR VALUES FROM ({since}) TO ('{last}')",
        f"ALTER TABLE {closed} DROP CONSTRAINT IF EXISTS {CLOSING_CONSTRAINT}",
    )
    own(connection, found, OPEN)


def _forget_unfinished(engine: Engine) -> None:
    """Remove what a proof that was killed has left: at the end of its month it would stop all writing."""
    with engine.begin() as connection:
        table = layout(connection).sql(OPEN)
        left = connection.scalar(
            text("SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = :name"),
            {"table": table, "name": CLOSING_CONSTRAINT},
        )
    if left:
        drop = f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {CLOSING_CONSTRAINT}"
        locked(engine, lambda connection: execute(connection, drop))


def _open(found: Layout) -> Partition:
    for candidate in found.partitions or ():
        if candidate.name == OPEN and candidate.upper is None:
            return candidate
    raise GoliveError(f"{TABLE} has no partition {OPEN} without an end: golive did not make its partitions")


def _is_large(connection: Connection, found: Layout) -> bool:
    return _count(connection, found.sql(OPEN), LARGE_ROWS + 1) > LARGE_ROWS


def _count(connection: Connection, rows: str, most: int) -> int:
    counted: int = connection.scalar(text(f"SELECT count(*) FROM (SELECT 1 FROM {rows} LIMIT {most}) AS t"))
    return counted
