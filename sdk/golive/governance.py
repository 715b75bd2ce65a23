"""How the levers reach the database: in short transactions of golive's own, bounded in time.

with governance.acting(db) as connection:    # one writer at a time; commits at the end
    ...
with governance.reading(db) as connection:
    ...

`db` is whatever names the database: a `Session`, an `AsyncSession`, a `scoped_session`, an engine, a
connection, a URL, or None for `DATABASE_URL`. A governance act is never part of the caller's transaction: a
kill switch that a rollback releases is none.
"""

import datetime as dt
import functools
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from sqlalchemy import URL, Connection, Engine, Pool, event, func, select
from sqlalchemy.exc import DBAPIError

from golive import database, settings
from golive.errors import InvalidArgument
from golive.models import GovernanceAuditHead
from golive.models.base import UtcDateTime, utc_now

__all__ = [
    "acting",
    "bound_idleness",
    "check_actor",
    "check_flag",
    "check_reason",
    "engine_for",
    "now_of",
    "reading",
    "snapshot",
    "url_of",
]

ACTOR_MAX: Final = 128
REASON_MAX: Final = 2000

_IDLE_MAX_MS: Final = 2**31 - 1
"""PostgreSQL takes no more."""
_NOW: Final = func.statement_timestamp(type_=UtcDateTime)

Lane = Literal["common", "switch", "events", "decisions"]
"""Whose connections: what waits for those of one lane never waits for another's. `switch` has the go-live
state and who may change it, which nothing may keep waiting; `events` reads of KPI events, which take long;
`decisions` those of the levers in no transaction of the caller's: on PostgreSQL each statement commits."""

_lock = threading.Lock()
_engines: dict[tuple[URL | str, float, Lane], Engine] = {}
"""By URL, and by the text of those that are in use: to read a URL costs as much as a statement."""
_inherited: list[Pool] = []


def url_of(db: object = None) -> URL:
    """Return the URL of the database `db` names, as golive reaches it.

    Raises:
        ConfigurationError: golive cannot use such a database.
        InvalidArgument: `db` names none.
    """
    if db is None:
        return database.normalise_url(os.environ.get(settings.DATABASE_URL) or settings.DEFAULT_DATABASE_URL)
    if isinstance(db, str | URL):
        return database.normalise_url(db)
    return database.normalise_url(_engine_of(db).url)


def engine_for(db: object = None, deadline_s: float | None = None, lane: Lane = "common") -> Engine:
    """Return golive's own engine for that database: one a lane, whose connections no fork shares.

    Args:
        db: What names the database.
        deadline_s: After how many seconds a checked out connection is cut; `GOLIVE_DATABASE_DEADLINE_SECONDS`
            by default.
        lane: Whose connections.
    """
    if deadline_s is None:
        deadline_s = settings.database_deadline_from_environment()
    if isinstance(db, str) and (known := _engines.get((db, deadline_s, lane))) is not None:
        return known
    url = url_of(db)
    with _lock:
        if (url, deadline_s, lane) not in _engines:
            _forget_connections_in_children()
            _engines[url, deadline_s, lane] = _make(url, deadline_s, lane)
        engine = _engines[url, deadline_s, lane]
        if isinstance(db, str) and url.get_backend_name() != "sqlite":  # whose relative paths move with chdir
            _engines[db, deadline_s, lane] = engine
    return engine


@contextmanager
def reading(db: object = None, lane: Lane = "common") -> Iterator[Connection]:
    """Give a connection to read from.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached within the deadline, or refuses.
    """
    with engine_for(db, lane=lane).connect() as connection:
        yield connection


@contextmanager
def snapshot(db: object = None, deadline_s: float | None = None) -> Iterator[Connection]:
    """Give a connection whose reads all see one state of the database.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: As with `reading`.
    """
    with engine_for(db, deadline_s).connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


@contextmanager
def acting(db: object = None, lane: Lane = "common") -> Iterator[Connection]:
    """Give a connection in a transaction; commit when the block ends, roll back when it raises.

    Raises:
        SchemaError: The database has no golive tables, or older ones.
        sqlalchemy.exc.SQLAlchemyError: As with `reading`; nothing was changed, but when the commit itself
            fails to be answered.
    """
    with engine_for(db, lane=lane).connect() as connection, _told_by_schema(connection):
        if connection.dialect.name == "sqlite":
            # At once: a transaction that reads first can be refused its first write.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # After the isolation level that lets the next one in see what the one before it did.
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            bound_idleness(connection)
            connection.execute(select(GovernanceAuditHead.id).with_for_update())
        yield connection
        connection.commit()


@contextmanager
def _told_by_schema(connection: Connection) -> Iterator[None]:
    """Where something fails for want of a table or a column, name the remedy.

    Not before: a migration that is due, and has nothing to do with it, keeps nobody from the kill switch.
    """
    try:
        yield
    except DBAPIError as error:
        if database.is_for_want_of_schema(error):
            connection.rollback()
            database.check_schema(connection)
        raise


def bound_idleness(connection: Connection) -> None:
    """Have PostgreSQL end the transaction under way where its client is silent for as long as the deadline.

    A client that was stopped, or whose network is cut, would keep its locks from everybody for hours: it
    cannot end its connection by itself, and the server does not see that it is gone.
    """
    wait_ms = min(math.ceil(settings.database_deadline_from_environment() * 1000), _IDLE_MAX_MS)
    # Of this transaction alone: behind a pooler the connection is others' afterwards.
    connection.execute(select(func.set_config("idle_in_transaction_session_timeout", str(wait_ms), True)))


def now_of(connection: Connection) -> dt.datetime:
    """Return the time of the database, one for all who decide; on SQLite that is this machine's."""
    if connection.dialect.name == "sqlite":
        return utc_now()
    return connection.execute(select(_NOW)).scalar_one()


def check_actor(actor: object) -> str:
    """Return who acts, or raise `InvalidArgument`: 1 to 128 printable characters."""
    if not isinstance(actor, str) or not actor.strip():
        raise InvalidArgument("actor", f"1 to {ACTOR_MAX} characters", repr(actor)[:60])
    if len(actor) > ACTOR_MAX or not actor.isprintable():
        raise InvalidArgument("actor", f"at most {ACTOR_MAX} printable characters", ascii(actor)[:60])
    return actor


def check_reason(reason: object) -> str:
    """Return why, stripped, or raise `InvalidArgument`: 1 to 2,000 characters, several lines if need be."""
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidArgument("reason", f"1 to {REASON_MAX} characters that say why", repr(reason)[:60])
    reason = reason.strip()
    if len(reason) > REASON_MAX:
        raise InvalidArgument("reason", f"at most {REASON_MAX} characters", f"{len(reason)}")
    if not all(character.isprintable() or character in "\n\r\t" for character in reason):
        raise InvalidArgument("reason", "printable characters", ascii(reason)[:60])
    return reason


def check_flag(field: str, given: object) -> bool:
    """Return a flag, or raise `InvalidArgument`."""
    if not isinstance(given, bool):
        raise InvalidArgument(field, "True or False", repr(given)[:60])
    return given


def _engine_of(db: Any) -> Any:
    if hasattr(db, "registry"):  # a scoped session
        return _engine_of(db.registry())
    if hasattr(db, "get_bind"):
        return db.get_bind().engine
    if hasattr(db, "engine"):
        return db.engine
    raise InvalidArgument("db", "a SQLAlchemy session, engine or connection, or a URL", type(db).__name__)


def _make(url: URL, deadline_s: float, lane: Lane) -> Engine:
    engine = database.create_store_engine(url, deadline_s=deadline_s, autocommit=lane == "decisions")
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _survive_power_failures)
    return engine


@functools.cache
def _forget_connections_in_children() -> None:
    """Let no child of a fork talk over its parent's connections, as those of gunicorn's --preload could."""
    os.register_at_fork(after_in_child=_forget_connections)


def _forget_connections() -> None:
    global _lock
    _lock = threading.Lock()
    for engine in set(_engines.values()):
        _inherited.append(engine.pool)  # kept, for SQLite must not close in a child what its parent opened
        engine.dispose(close=False)


def _survive_power_failures(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = FULL")
