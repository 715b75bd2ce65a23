"""Where the levers stand at one moment: what is used of the caps, what the charter and the tripwires saw."""

from typing import NamedTuple

from golive import governance
from golive.heimdall import Standing, standings
from golive.regression import Wire, wires
from golive.risk import Book, books

__all__ = ["Levers", "read"]


class Levers(NamedTuple):
    """The books of the risk guard, `GLOBAL` first, the domains of the charter, and the tripwires."""

    risk: list[Book]
    charter: list[Standing]
    tripwires: list[Wire]


def read(db: object = None) -> Levers:
    """Return where the levers stand; all of it of one moment.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read within the deadline.
    """
    with governance.snapshot(db) as connection:
        now = governance.now_of(connection)
        return Levers(books(connection, now), standings(connection, now.date()), wires(connection))
