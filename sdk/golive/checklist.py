"""The go-live checklist: what has to be there before production may be enabled."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from golive import database, governance, settings
from golive.errors import SchemaError

PACKS_GROUP: Final = "golive.packs"


class Checklist(NamedTuple):
    """golive's own part, and the packs that are required."""

    backend_complete: bool
    """The database can be read and has golive's tables at their newest revision."""
    required_packs: list[str]
    missing_packs: list[str]

    @property
    def ok(self) -> bool:
        """Whether all of it is there."""
        return self.backend_complete and not self.missing_packs


def checklist(db: object = None) -> Checklist:
    """Return the checklist; a database that cannot be read is an incomplete backend, not an error."""
    required = list(settings.gate_from_environment().required_packs)
    try:
        with governance.reading(db) as connection:
            database.check_schema(connection)
        complete = True
    except (SQLAlchemyError, SchemaError):
        complete = False
    return Checklist(complete, required, missing_packs(required))


def missing_packs(required: Iterable[str]) -> list[str]:
    """Return those that are neither an installed Python distribution nor an entry point of `golive.packs`."""
    registered = {entry_point.name for entry_point in entry_points(group=PACKS_GROUP)}
    return [name for name in required if name not in registered and not _is_distribution(name)]


def _is_distribution(name: str) -> bool:
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True
