"""The go-live state: whether production may act, as the database has it."""

import datetime as dt
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from golive import governance
from golive.models import GoLiveState

STATE_ID: Final = 1
"""The table has one row."""


class State(NamedTuple):
    """Whether production may act, who said so last, and why."""

    go_live_enabled: bool
    kill_switch_engaged: bool
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None

    @property
    def allows_production(self) -> bool:
        """Whether go-live is on and the kill switch is not."""
        return self.go_live_enabled and not self.kill_switch_engaged


ALL_OFF: Final = State(False, False, None, None, 0, None)
"""What holds when the table has lost its row: nothing is enabled."""


def read(db: object = None) -> State:
    """Return the state; all off if its row is missing.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read within the deadline.
    """
    with governance.reading(db, "switch") as connection:
        return read_from(connection)


def read_from(connection: Connection) -> State:
    """Return the state as this connection sees it; all off if its row is missing."""
    columns = (getattr(GoLiveState, name) for name in State._fields)
    found = connection.execute(select(*columns).where(GoLiveState.id == STATE_ID)).one_or_none()
    return ALL_OFF if found is None else State(*found)
