"""How golive reaches ClickHouse: from a URL to a client, and from the driver's errors to those callers know.

`clickhousedb://user:password@host:8443/golive?secure=true` is a server; `clickhousedb:///golive?interface=chdb&
path=/var/lib/golive` is the engine within this process, where `chdb` is installed. Behind the question mark
`password_file` names a file with the password, and `cluster` the cluster the tables are made on; all else
goes to `clickhouse_connect.get_client`, to which what begins with `ch_` is a setting of the server.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from golive.database import shown_url
from golive.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CLUSTER: Final = "cluster"
_PASSWORD_FILE: Final = "password_file"  # noqa: S105 - the name of a file

_MISSING: Final = (60, 81)
"""ClickHouse's codes for a table and a database that are not there."""


def connect(
    url: URL, deadline_s: float, settings: Mapping[str, Any], database: str | None = None
) -> "Client":
    """Return a client that any thread may use.

    Args:
        url: The store.
        deadline_s: How long nothing waits for it, in seconds.
        settings: Of the server, for every statement.
        database: In place of the URL's.

    Raises:
        ConfigurationError: The driver is not installed, or the password's file cannot be read.
        SchemaError: The database is not there.
        sqlalchemy.exc.OperationalError: The server cannot be reached.
    """
    try:
        import clickhouse_connect
    except ImportError as error:
        raise ConfigurationError("ClickHouse needs its driver: pip install 'golive[clickhouse]'") from error
    options: dict[str, Any] = {
        name: value if isinstance(value, str) else value[-1]
        for name, value in url.query.items()
        if name not in (CLUSTER, _PASSWORD_FILE)
    }
    if not is_embedded(url):
        wait_s = max(1, math.ceil(deadline_s))
        # Without a session, in which a server takes one statement at a time.
        options = {"autogenerate_session_id": False, "connect_timeout": wait_s} | options
        options = {"send_receive_timeout": wait_s, "port": url.port, "host": url.host} | options
        options |= {"username": url.username, "password": _password(url)}
    with told(url, "connect"):
        return clickhouse_connect.get_client(
            database=database or url.database or "default", settings=dict(settings), **options
        )


def _password(url: URL) -> str:
    file = url.query.get(_PASSWORD_FILE)
    if not isinstance(file, str):
        return url.password or ""
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"the password of the event store: {file}: {error.strerror}") from error


def is_embedded(url: URL) -> bool:
    """Return whether the store is a folder that this process alone has open."""
    return url.query.get("interface") == "chdb"


@contextmanager
def told(url: URL, what: str) -> Iterator[None]:
    """Raise what the driver raises as what the callers of any store expect."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except (ClickHouseError, OSError) as error:
        if getattr(error, "code", None) in _MISSING:
            raise SchemaError(
                f"golive's tables are missing in {shown_url(url)}: run `golive db upgrade`"
            ) from error
        raise OperationalError(what, None, error) from error
