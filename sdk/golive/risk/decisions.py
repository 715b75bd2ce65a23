"""Decisions of the guard: one row each, only ever added."""

import datetime as dt
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from golive.models import RiskEvent


class Decision(NamedTuple):
    """What the guard decided or booked.

    Attributes:
        day: Of the ledger it is booked in.
        action: `RESERVE`, `DENY`, `SETTLE`, `RELEASE`, `REFUND` or `EXPIRE`.
        detail: Of a denial the figures, as `RiskDenied` has them.
    """

    id: int
    engine: str
    day: dt.date | None
    action: str
    amount: Decimal
    realized_loss: Decimal | None
    ok: bool
    reason: str | None
    reservation_id: int | None
    correlation_id: str | None
    actor: str | None
    trace_id: str | None
    detail: Any
    created_at: dt.datetime


_COLUMNS: Final = tuple(
    RiskEvent.metadata_json if name == "detail" else getattr(RiskEvent, name) for name in Decision._fields
)


def decisions(connection: Connection, limit: int) -> list[Decision]:
    """Return the last decisions, the newest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(RiskEvent.id.desc()).limit(limit))
    return [Decision(*row) for row in rows]
