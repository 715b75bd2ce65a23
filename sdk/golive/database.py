"""The event store as a database: its URL, its engine, its schema.

from golive import database

url = database.normalise_url("postgresql+asyncpg://app@db/deals")
database.upgrade(url)                       # what `golive db upgrade` does
engine = database.create_store_engine(url)  # synchronous, whatever the application uses
"""

import contextlib
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from golive._database_url import (
    normalise_events_url,
    normalise_url,
    same_database,
    shown_url,
    sqlite_path,
    store_key,
)
from golive._watchdog import bound_checkouts
from golive.errors import ConfigurationError, SchemaError

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "check_schema",
    "create_store_engine",
    "is_for_want_of_schema",
    "migrating",
    "normalise_events_url",
    "normalise_url",
    "same_database",
    "shown_url",
    "sqlite_in_transaction",
    "store_key",
    "upgrade",
]

HEAD: Final = "0006"
"""The newest revision, kept here so that a check need not import Alembic. Revisions sort as text."""

VERSION_TABLE: Final = "golive_alembic_version"
"""Not Alembic's usual name: the application may keep its own revisions in the same database."""

_WAIT_S = 5.0
_MIGRATION_TIMEOUT_S = 600.0
"""How long a process waits for another one that is migrating; adopting many million rows takes minutes."""
_IDLE_MS = 30_000
"""For how long a process that migrates, and was stopped, may keep the tables from the others."""
_MIGRATION_LOCK = int.from_bytes(b"golivedb")
_UNDEFINED = ("42P01", "42703")
"""PostgreSQL's codes for a table and a column that are not there."""
_GONE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""When a server whose network is cut is taken for gone: after a minute, not after the hours of the system."""

# Those on SQLite, which keeps in the process what locks of a file it has. A child inherits that with the
# connections its parent has open: it would wait for locks nobody has any more, or do without where it
# believes to have them, and write to a log that another process has deleted.
# https://www.sqlite.org/howtocorrupt.html, 2.6
_on_files: "weakref.WeakSet[Engine]" = weakref.WeakSet()

# Alembic keeps the migration that runs in a global of its module.
_one_migration = threading.Lock()


def create_store_engine(
    url: URL, *, deadline_s: float | None = None, use_s: float | None = None, autocommit: bool = False
) -> Engine:
    """Return an engine for the store, of few connections that any thread may use.

    The first of them makes an SQLite file that is missing, with its folders.

    Args:
        url: The store, as `normalise_url` returns it.
        deadline_s: If given, nothing waits longer for the database, in seconds: not to connect, not for a
            lock, not for an answer. A connection is cut that long after its checkout.
        use_s: If given, a connection is cut that long after its checkout, in seconds, whatever else may wait.
        autocommit: On PostgreSQL, whether each statement is a transaction.

    Raises:
        ConfigurationError: The driver is not installed.
    """
    wait_s = _WAIT_S if deadline_s is None else deadline_s
    use_s = deadline_s if use_s is None else use_s
    pool: dict[str, Any] = {"pool_size": 2, "max_overflow": 3, "pool_timeout": wait_s}
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": wait_s, "check_same_thread": False}
        engine = create_engine(url, connect_args=arguments, **pool)
        _on_files.add(engine)
        event.listen(engine, "do_connect", lambda *_: _make_file(url))
        event.listen(engine, "connect", _set_up_sqlite)
    else:
        try:
            # Where its use is bounded the watchdog tries the connection itself, for a ping can hang as well.
            engine = create_engine(
                url,
                connect_args=_libpq_arguments(url, deadline_s),
                pool_pre_ping=use_s is None,
                isolation_level="AUTOCOMMIT" if autocommit else None,
                **pool,
            )
        except ImportError as error:
            raise ConfigurationError("PostgreSQL needs its driver: pip install 'golive[postgres]'") from error
    if use_s is not None:
        bound_checkouts(engine, use_s)
    return engine


def upgrade(url: URL, *, seed: bool = False) -> None:
    """Bring the schema to the newest revision; nothing happens if it is there, or is newer.

    Several processes may call it at once: one migrates, the others wait for it. Tables an application already
    has are adopted, with every row.

    Args:
        url: The store.
        seed: Also fill a policy table that has lost all its rows, as `golive db upgrade` does.

    Raises:
        GoliveError: A table was in use by long transactions all the time.
        sqlalchemy.exc.DBAPIError: The database cannot be reached, or refuses.
    """
    engine = create_store_engine(url)
    try:
        with engine.connect() as connection:
            current = _is_current(connection)
    finally:
        engine.dispose()
    if seed or not current:
        _migrate(url, seed)


def check_schema(connection: Connection) -> None:
    """Return if the schema is at the newest revision this version knows, or at a newer one; one query.

    An open transaction of the connection stays usable.

    Raises:
        SchemaError: golive's tables are missing or older; the text names the remedy.
    """
    try:
        with connection.begin_nested():
            versions = connection.scalars(text(f"SELECT version_num FROM {VERSION_TABLE}")).all()  # noqa: S608
    except (OperationalError, ProgrammingError) as error:
        if not is_for_want_of_schema(error):
            raise
        versions = []
    version = max(versions, default="")
    if version >= HEAD:
        return
    database = shown_url(connection.engine.url)
    found = f"are of revision {version}, older than {HEAD}" if version else "are missing"
    raise SchemaError(f"golive's tables {found} in {database}: run `golive db upgrade`")


@contextmanager
def migrating(url: URL) -> Iterator[Connection]:
    """Give a connection in a transaction that only one process at a time can have; commit at the end."""
    engine = create_store_engine(url)
    try:
        with engine.connect() as connection:
            if url.get_backend_name() == "sqlite":
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_MIGRATION_TIMEOUT_S * 1000:.0f}")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                # The others must see, once they have the lock, what the one before them did.
                connection = connection.execution_options(isolation_level="READ COMMITTED")
                connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_MS}")
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            yield connection
            connection.commit()
    finally:
        engine.dispose()


def sqlite_in_transaction(connection: Connection) -> bool:
    """Return whether SQLite has a transaction open; SQLAlchemy's begins earlier, before the first write."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)


def _close_idle_connections() -> None:
    for engine in list(_on_files):
        engine.dispose()


os.register_at_fork(before=_close_idle_connections)


def _libpq_arguments(url: URL, deadline_s: float | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"client_encoding": "utf8"}
    if deadline_s is not None:
        arguments["connect_timeout"] = math.ceil(deadline_s)
    elif "connect_timeout" not in url.query:
        arguments["connect_timeout"] = math.ceil(_WAIT_S)
    defaults = {"application_name": "golive", **_GONE}
    return arguments | {name: value for name, value in defaults.items() if name not in url.query}


def _is_current(connection: Connection) -> bool:
    try:
        check_schema(connection)
    except SchemaError:
        return False
    return True


def _migrate(url: URL, seed: bool) -> None:
    # Imported here: Alembic takes longer to load than everything else of golive.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"url": url, "seed": seed})
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _one_migration:
        command.upgrade(config, "head")


def _make_file(url: URL) -> None:
    """Make an SQLite file with its folders, where there is none: for its owner alone, as the spool is."""
    path = sqlite_path(url)
    if path is None or path.exists() or url.query.get("mode", "rwc") != "rwc":
        return
    with contextlib.suppress(OSError):  # SQLite says why it cannot open it
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Switch to write-ahead logging, in which readers and the writer do not wait for each other."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait for its busy timeout here.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    connection.execute("PRAGMA synchronous = NORMAL")


def is_for_want_of_schema(error: DBAPIError) -> bool:
    """Return whether a statement failed for a table or a column that is not there."""
    if isinstance(error.orig, sqlite3.Error):
        return any(
            words in str(error.orig) for words in ("no such table", "no such column", "no column named")
        )
    return getattr(error.orig, "sqlstate", None) in _UNDEFINED
