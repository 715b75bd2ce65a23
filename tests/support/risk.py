"""What tests of the risk guard share: a clock, and short ways to ask what was booked."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from golive import governance
from golive.joining import Work
from golive.models import RiskEvent
from golive.risk import (
    RiskDenied,
    books,
    policies,
    reservations,
    risk_reserve_or_raise,
    upsert_policy,
)
from golive.risk import ledger as ledgers
from golive.risk.policy import RiskPolicyView

START = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


class Clock:
    """The guard's clock; moves when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += dt.timedelta(**by)


def tell_time(patch: pytest.MonkeyPatch, clock: Callable[[], dt.datetime]) -> None:
    """Have the guard decide and book by a clock of the test's, and not by the database's."""
    read, find = ledgers.read, reservations._found

    def read_now(work: Work, engine: str, now: dt.datetime | None = None) -> ledgers.Reading:
        return read(work, engine, now or clock())

    def find_now(*asked: Any) -> reservations.Found | None:
        found = find(*asked)
        return None if found is None else found._replace(now=clock())

    patch.setattr(ledgers, "read", read_now)
    patch.setattr(reservations, "_found", find_now)


def policy(url: str, engine: str) -> RiskPolicyView:
    with governance.reading(url) as connection:
        return next(found for found in policies(connection) if found.engine == engine)


def change(url: str, engine: str, **changes: Any) -> RiskPolicyView:
    values = policy(url, engine)._asdict() | changes
    for known in ("changed_by", "reason", "updated_at", "version"):
        values.pop(known)
    return upsert_policy(url, **values, actor="test", reason="test")


def used(url: str, engine: str, now: dt.datetime = START) -> dict[str, Any]:
    with governance.reading(url) as connection:
        [found] = [book.ledger for book in books(connection, now) if book.engine == engine]
    return {name: value for name, value in found._asdict().items() if name not in ("engine", "day")}


def ledger(**values: Any) -> dict[str, Any]:
    nothing = {
        "exposure_used": 0, "open_risk_reserved": 0, "realized_loss": 0, "actions_count": 0, "denials": 0,
    }  # fmt: skip
    return nothing | values


def actions(url: str) -> list[str]:
    with governance.reading(url) as connection:
        return list(connection.scalars(select(RiskEvent.action).order_by(RiskEvent.id)))


def denied(url: object, engine: str, amount: Any, **arguments: Any) -> RiskDenied:
    with pytest.raises(RiskDenied) as caught:
        risk_reserve_or_raise(url, engine, amount, **arguments)
    return caught.value
