"""The partitions of `kpi_event` on PostgreSQL: ranges of ids, which are ranges of time, without a hole.

    kpi_event_kept            … to a month       what tripwires read of months that were dropped
    kpi_event_before_2026_12  … to 2026-12-01    one a month, named by where it ends
    kpi_event_open            … without end      empty, but when nobody made months for long

The id is the partition key, so that an id is unique over all of them by the one primary key there is (E5);
whatever id comes, there is a partition for it.
"""

import datetime as dt
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from golive.errors import GoliveError

TABLE: Final = "kpi_event"
OPEN: Final = "kpi_event_open"
KEPT: Final = "kpi_event_kept"
GONE: Final = "kpi_event_gone_"
"""What detached partitions are called until they are dropped."""

_LOCK_TIMEOUTS_MS = [100] * 20 + [200] * 20
"""How long everybody else waits behind a lock that is not granted, at each try."""
_VACUUM_MS = 1_300
"""How long a vacuum alone is waited for: PostgreSQL cancels an autovacuum that is in the way for a second."""
_IDLE_MS = 2_000
"""For how long who has the table, and was stopped, keeps it from everybody."""
_PAUSE_S = 0.5
_TRY_AGAIN = {"55P03", "40P01"}
"""A lock was not granted in time; a deadlock."""
_MAINTENANCE_LOCK = int.from_bytes(b"golivemt")
_BOUNDS = re.compile(r"FOR VALUES FROM \((.+?)\) TO \((.+?)\)")

T = TypeVar("T")


class Partition(NamedTuple):
    """One partition: ids from `lower` on to before `upper`; None: without an end."""

    name: str
    lower: int | None
    upper: int | None


class Layout(NamedTuple):
    """How the table is laid out; `partitions` is in the order of ids, None where it has none."""

    schema: str
    partitions: list[Partition] | None

    def sql(self, name: str) -> str:
        """Return a table's name for a statement."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, name))


def layout(connection: Connection) -> Layout:
    """Return how the table is laid out now."""
    found = connection.execute(
        text(
            "SELECT n.nspname, c.relkind, c.oid "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.oid = to_regclass(:table)"
        ),
        {"table": TABLE},
    ).one()
    if found.relkind != "p":
        return Layout(found.nspname, None)
    children = connection.execute(
        text(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = :table"
        ),
        {"table": found.oid},
    )
    partitions = [Partition(child.relname, *_bounds(child.bounds)) for child in children]
    partitions.sort(key=lambda partition: -1 if partition.lower is None else partition.lower)
    return Layout(found.nspname, partitions)


def columns_of(connection: Connection, found: Layout) -> list[str]:
    """Return the names of the table's columns, quoted; an adopted one may have more than golive's."""
    columns = connection.scalars(
        text(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass(:table) "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
        ),
        {"table": found.sql(TABLE)},
    )
    return list(columns)


def own(connection: Connection, found: Layout, name: str) -> None:
    """Give a table that was just made to whom `kpi_event` belongs."""
    owner = connection.scalar(
        text(
            "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = to_regclass(:table) "
            "AND pg_get_userbyid(relowner) <> current_user"
        ),
        {"table": found.sql(TABLE)},
    )
    if owner is not None:
        execute(connection, f"ALTER TABLE {found.sql(name)} OWNER TO {owner}")


def month(moment: dt.datetime, later: int = 0) -> dt.datetime:
    """Return the first instant of a moment's month, or of so many months later."""
    years, index = divmod(moment.month - 1 + later, 12)
    return dt.datetime(moment.year + years, index + 1, 1, tzinfo=dt.UTC)


def name_before(end: dt.datetime) -> str:
    """Return the name of the partition that ends with a month's beginning."""
    return f"kpi_event_before_{end:%Y_%m}"


def execute(connection: Connection, *statements: str) -> None:
    """Execute statements as they are, without parameters."""
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def bound(value: int | None, otherwise: str) -> str:
    """Return a bound for a statement."""
    return otherwise if value is None else f"'{value}'"


@contextmanager
def alone(engine: Engine) -> Iterator[bool]:
    """Yield whether nobody else is maintaining this database; if so, nobody will meanwhile.

    The lock is of the session: it ends with the process, however that ends.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"key": _MAINTENANCE_LOCK}
        granted: bool = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key) is True
        try:
            yield granted
        finally:
            if granted:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def locked(engine: Engine, act: Callable[[Connection], T]) -> T:
    """Return what `act` does in a transaction in which nobody else uses the table; it has to be short.

    Others wait while the lock is asked for as well; so that is given up soon, and tried again later.

    Raises:
        GoliveError: Somebody used the table all the time.
    """
    for number, timeout_ms in enumerate(_LOCK_TIMEOUTS_MS):
        # At first without its partitions: nothing reaches them but through it, and a vacuum of one may go on.
        only = "ONLY" if number < len(_LOCK_TIMEOUTS_MS) / 2 else ""
        try:
            with engine.begin() as connection:
                table = layout(connection).sql(TABLE)
                execute(
                    connection,
                    f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}",
                    f"SET LOCAL lock_timeout = {_VACUUM_MS}",
                    f"LOCK TABLE {only} {table} IN SHARE UPDATE EXCLUSIVE MODE",  # nobody waits behind this
                    f"SET LOCAL lock_timeout = {timeout_ms}",
                    f"LOCK TABLE ONLY {table}",
                )
                return act(connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN:
                raise
        time.sleep(_PAUSE_S * (1 + random.random()))  # noqa: S311
    raise GoliveError(
        f"{TABLE} was in use by long transactions at each of {len(_LOCK_TIMEOUTS_MS)} tries to change its "
        "partitions; nothing is half done: run it again later"
    )


def _bounds(expression: str) -> tuple[int | None, int | None]:
    found = _BOUNDS.fullmatch(expression)
    if found is None:
        raise GoliveError(f"{TABLE} has a partition golive did not make: {expression}")
    lower, upper = (int(text.strip("'")) if text.strip("'").isdigit() else None for text in found.groups())
    return lower, upper
