"""What a database URL says, whatever driver it names: which store it is, and how golive reaches it."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from golive.errors import ConfigurationError
from golive.redaction import is_secret_key

CLICKHOUSE: Final = "clickhousedb"

_SQLITE_DRIVERS: Final = ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite")

# asyncpg's own connection arguments, and SQLAlchemy's for it; libpq refuses what it does not know.
_ASYNCPG_ONLY: Final = (
    "async_creator_fn",
    "async_fallback",
    "command_timeout",
    "direct_tls",
    "max_cacheable_statement_size",
    "max_cached_statement_lifetime",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "server_settings",
    "statement_cache_size",
)
_SSL_MODES: Final = {"true": "require", "1": "require", "false": "disable", "0": "disable"}


def normalise_url(url: str | URL) -> URL:
    """Return the URL by which golive reaches the store: a synchronous driver, an absolute SQLite path.

    Raises:
        ConfigurationError: It is no URL, names another kind of database, or an SQLite database in memory.
    """
    parsed = _parsed(url)
    name = parsed.drivername
    if name in _SQLITE_DRIVERS:
        return _normalise_sqlite(parsed)
    if name.split("+")[0] in ("postgresql", "postgres"):
        return _normalise_postgresql(parsed)
    if _is_clickhouse(parsed):
        raise ConfigurationError(
            "ClickHouse holds events alone: name it in GOLIVE_EVENTS_URL, and in DATABASE_URL an SQLite or "
            "PostgreSQL database for the levers"
        )
    raise ConfigurationError(f"golive keeps its tables in SQLite or PostgreSQL, not in {name!r}")


def normalise_events_url(url: str | URL) -> URL:
    """Return the URL by which golive reaches an event store, which may be ClickHouse as well.

    Raises:
        ConfigurationError: As with `normalise_url`.
    """
    parsed = _parsed(url)
    return parsed.set(drivername=CLICKHOUSE) if _is_clickhouse(parsed) else normalise_url(parsed)


def same_database(a: URL, b: URL) -> bool:
    """Return whether both are one database for certain, so that a transaction of one may write to the other.

    Where it cannot be known (a socket and a TCP port, two names of a host) the answer is no. So it is for two
    users: the business's may lack the right to write events, which would break its transaction.
    """
    try:
        a, b = normalise_url(a), normalise_url(b)  # ClickHouse, which has no transactions, is refused
    except ConfigurationError:
        return False
    path_a, path_b = sqlite_path(a), sqlite_path(b)
    if path_a is not None and path_b is not None:
        return path_a == path_b or _same_file(path_a, path_b)
    if path_a is not None or path_b is not None:
        return False
    return _user(a) == _user(b) and _address(a) == _address(b)


def shown_url(url: URL) -> str:
    """Return the URL without its secrets, which libpq takes among the parameters as well."""
    secrets = {name: "***" for name in url.query if is_secret_key(name)}
    return url.update_query_dict(secrets).render_as_string()


def store_key(url: URL) -> str:
    """Return 12 hexadecimal digits that name the store, the same for every user, password and driver."""
    url = normalise_events_url(url)
    path = sqlite_path(url)
    # Two schemas of one PostgreSQL database are two stores, and chosen by `options=-csearch_path=…`.
    if path is not None:
        identity = [str(path)]
    elif _is_clickhouse(url):
        identity = [url.host or os.path.realpath(_query(url, "path")), str(url.port), url.database or ""]
    else:
        identity = [*_address(url), _query(url, "options")]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite URL, links resolved; None for other databases."""
    if url.get_backend_name() != "sqlite":
        return None
    database = url.database or ""
    if database.startswith("file:"):
        database = unquote(database.removeprefix("file:"))
        if database.startswith("//"):  # file://host/path: SQLite takes no host but localhost
            database = "/" + database[2:].partition("/")[2]
    return Path(os.path.realpath(database))


def _parsed(url: str | URL) -> URL:
    try:
        return make_url(url.strip() if isinstance(url, str) else url)
    except (ArgumentError, ValueError):
        # Not chained, and not shown: the text may hold a password.
        raise ConfigurationError(
            "the database URL cannot be read; expected sqlite:///file.db or postgresql://user@host/database"
        ) from None


def _is_clickhouse(url: URL) -> bool:
    return url.drivername.split("+")[0] in (CLICKHOUSE, "clickhouse")


def _normalise_sqlite(url: URL) -> URL:
    database = url.database or ""
    if database in ("", ":memory:", "file:", "file::memory:") or _query(url, "mode") == "memory":
        raise ConfigurationError(
            "an SQLite database in memory cannot be the event store: golive writes from a connection and a "
            "thread of its own, which would see another, empty database; give a file, as sqlite:///golive.db"
        )
    if database.startswith("file:"):
        path = database.removeprefix("file:")
        database = path if path.startswith("/") else os.path.abspath(path)
        database = f"file:{database}"
    else:
        database = os.path.abspath(database)
    return url.set(drivername="sqlite", database=database)


def _normalise_postgresql(url: URL) -> URL:
    query = {name: value for name, value in url.query.items() if name not in _ASYNCPG_ONLY}
    if "asyncpg" in url.drivername:
        ssl = query.pop("ssl", None)
        if isinstance(ssl, str):
            query.setdefault("sslmode", _SSL_MODES.get(ssl.lower(), ssl))
        timeout = query.pop("timeout", None)
        if isinstance(timeout, str) and _is_number(timeout):
            query.setdefault("connect_timeout", str(max(1, math.ceil(float(timeout)))))
    return url.set(drivername="postgresql+psycopg", query=query)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _address(url: URL) -> list[str]:
    """Return what tells PostgreSQL databases apart: servers, ports, database name, service."""
    hosts = _many(url, "host") or [url.host or os.environ.get("PGHOST", "")]
    ports = _many(url, "port") or [str(url.port or "")]
    servers = []
    for index, host in enumerate(hosts):
        name, separator, port = host.rpartition(":")
        if not (separator and port.isdigit() and ":" not in name and not host.startswith("/")):
            name, port = host, ports[index] if len(ports) == len(hosts) else ports[0]
        servers.append(f"{_host(name)} {port or os.environ.get('PGPORT') or '5432'}")
    database = _query(url, "dbname") or url.database or os.environ.get("PGDATABASE") or _user(url)
    return [*servers, database, _query(url, "service"), _query(url, "hostaddr")]


def _host(name: str) -> str:
    name = name.strip("[]")
    if name.startswith("/"):
        return os.path.normpath(name)
    name = name.lower().rstrip(".")
    return "localhost" if name in ("127.0.0.1", "::1") else name


def _user(url: URL) -> str:
    return _query(url, "user") or url.username or os.environ.get("PGUSER") or ""


def _many(url: URL, name: str) -> list[str]:
    value = url.query.get(name, ())
    values: Iterable[str] = [value] if isinstance(value, str) else value
    return [part for item in values for part in item.split(",")]


def _query(url: URL, name: str) -> str:
    return ",".join(_many(url, name))


def _same_file(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
