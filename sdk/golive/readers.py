"""How golive finds what reads KPI events: those of the governance database, for that is where they are.

with readers.reading(db) as events:            # on connections of their own: it may take long
    events.summary()
with governance.snapshot(db) as connection, readers.beside(connection) as events:
    ...                                        # in the same transaction
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from golive import governance
from golive.reader import EventReader
from golive.sql_reader import SqlReader

__all__ = ["beside", "reading"]


@contextmanager
def reading(db: object = None, deadline_s: float | None = None) -> Iterator[EventReader]:
    """Give what reads the events that belong to a database.

    Args:
        db: What names the database.
        deadline_s: How long to wait for the store; `GOLIVE_DATABASE_DEADLINE_SECONDS` by default.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The store cannot be reached within the deadline, or refuses.
    """
    with governance.engine_for(db, deadline_s, "events").connect() as connection:
        yield SqlReader(connection)


@contextmanager
def beside(connection: Connection) -> Iterator[EventReader]:
    """Give what reads the events that belong to the database a connection leads to; in its transaction."""
    yield SqlReader(connection)
