"""How golive finds what reads KPI events: in the database of the levers, or in a store apart from it.

with readers.reading(db) as events:            # on connections of their own: it may take long
    events.summary()
with governance.snapshot(db) as connection, readers.beside(connection) as events:
    ...                                        # in the same transaction, where they share a database

`GOLIVE_EVENTS_URL` names a store apart. What reads one that is neither SQLite nor PostgreSQL is found by
entry point, as `golive.stores` finds what writes it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

from sqlalchemy import URL, Connection

from golive import database, governance, settings
from golive.errors import ConfigurationError
from golive.reader import EventReader
from golive.sql_reader import SqlReader

__all__ = ["ENTRY_POINT_GROUP", "OpenReader", "apart", "beside", "reading", "store_of"]

ENTRY_POINT_GROUP: Final = "golive.event_readers"


class OpenReader(Protocol):
    """What an entry point names: gives a reader of the store, that waits no longer than the deadline."""

    def __call__(self, url: URL, deadline_s: float) -> AbstractContextManager[EventReader]: ...


def apart() -> URL | None:
    """Return the event store where it is another database than that of the levers.

    Raises:
        ConfigurationError: `GOLIVE_EVENTS_URL` cannot be read.
    """
    url = settings.events_url_from_environment()
    return None if url is None else database.normalise_events_url(url)


def store_of(db: object = None) -> URL:
    """Return the event store that belongs to a database."""
    return apart() or governance.url_of(db)


@contextmanager
def reading(db: object = None, deadline_s: float | None = None) -> Iterator[EventReader]:
    """Give what reads the events that belong to a database.

    Args:
        db: What names the database.
        deadline_s: How long to wait for the store; `GOLIVE_DATABASE_DEADLINE_SECONDS` by default.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The store cannot be reached within the deadline, or refuses.
    """
    store = store_of(db)
    if store.get_backend_name() in ("sqlite", "postgresql"):
        with governance.engine_for(store, deadline_s, "events").connect() as connection:
            yield SqlReader(connection)
        return
    if deadline_s is None:
        deadline_s = settings.database_deadline_from_environment()
    with _opener(store.get_backend_name())(store, deadline_s) as reader:
        yield reader


@contextmanager
def beside(connection: Connection, deadline_s: float | None = None) -> Iterator[EventReader]:
    """Give what reads the events that belong to the database a connection leads to; in its transaction.

    Args:
        connection: To the database.
        deadline_s: As for `reading`, where the store is apart.
    """
    if apart() is None:
        yield SqlReader(connection)
        return
    with reading(None, deadline_s) as reader:
        yield reader


@lru_cache
def _opener(backend: str) -> OpenReader:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=backend):
        opener: OpenReader = entry_point.load()
        return opener
    raise ConfigurationError(f"nothing that reads {backend!r} databases is installed")
