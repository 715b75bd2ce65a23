"""Where the levers stand at one moment: what is used of the caps, and what the charter has seen."""

from typing import NamedTuple

from golive import governance
from golive.heimdall import Standing, standings
from golive.models.base import utc_now
from golive.risk import Book, books

__all__ = ["Levers", "read"]


class Levers(NamedTuple):
    """The books of the risk guard, `GLOBAL` first, and the domains of the charter."""

    risk: list[Book]
    charter: list[Standing]


def read(db: object = None) -> Levers:
    """Return where the levers stand; all of it of one moment.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read within the deadline.
    """
    with governance.snapshot(db) as connection:
        return Levers(books(connection, utc_now()), standings(connection, utc_now().date()))
