"""What becomes of a reservation: keys, expiry, days, settlements, releases, refunds."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from opentelemetry import baggage, context
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from golive import database, governance, names
from golive.correlation import correlation
from golive.errors import InvalidArgument
from golive.models import RiskLedgerDay
from golive.risk import (
    GLOBAL,
    IdempotencyConflict,
    NotReserved,
    ReservationClosed,
    risk_refund,
    risk_release,
    risk_reserve_or_raise,
    risk_settle,
)
from tests.support.risk import START, Clock, actions, change, denied, ledger, used


def test_the_same_key_twice_is_one_reservation_and_another_request_a_conflict(
    store: str, clock: Clock
) -> None:
    first = risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k", reason="r")
    clock.advance(minutes=5)
    assert risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k", reason="r") == first
    for other in ({"amount": 11}, {"engine": "CAPITAL"}, {"reason": "s"}, {"correlation_id": "c"}):
        arguments: dict[str, Any] = {"engine": "WHOLESALE", "amount": 10, "reason": "r"} | other
        with pytest.raises(IdempotencyConflict, match="'k'"):
            risk_reserve_or_raise(store, **arguments, idempotency_key="k")
    assert used(store, GLOBAL)["exposure_used"] == 10
    risk_settle(store, "WHOLESALE", 10, 1, reservation_id=first.id)
    again = risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k", reason="r")
    assert (again.id, again.status) == (first.id, "settled")


def test_the_same_key_at_the_same_time_is_one_reservation(store: str, clock: Clock) -> None:
    together = Barrier(4)

    def reserve(_: int) -> int:
        together.wait()
        return risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k").id

    risk_reserve_or_raise(store, "WHOLESALE", 1)
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(reserve, range(4)))) == 1
    assert used(store, "WHOLESALE")["exposure_used"] == used(store, GLOBAL)["exposure_used"] == 11


def test_a_retry_in_another_context_is_the_same_request(store: str, clock: Clock) -> None:
    with correlation():  # as of an HTTP request that names none
        first = risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k")
    with correlation():
        assert risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k") == first
    assert used(store, GLOBAL)["exposure_used"] == 10


def test_baggage_that_is_no_correlation_id_stops_no_lever(store: str, clock: Clock) -> None:
    token = context.attach(baggage.set_baggage(names.CORRELATION_ID, "x" * 129))
    try:
        assert risk_reserve_or_raise(store, "WHOLESALE", 1).correlation_id is None
        assert change(store, "WHOLESALE", enabled=False).enabled is False
    finally:
        context.detach(token)


def test_a_key_whose_reservation_has_expired_says_so(store: str, clock: Clock) -> None:
    first = risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k", expires_in_s=60)
    clock.advance(seconds=60)
    again = risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k", expires_in_s=60)
    assert (again.id, again.status) == (first.id, "expired")


def test_a_reservation_expires_and_its_loss_is_still_booked(store: str, clock: Clock) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", 500, expires_in_s=60)
    assert denied(store, "WHOLESALE", 1).reason == "max_open_risk"
    clock.advance(seconds=60)
    assert used(store, "WHOLESALE", clock.now)["open_risk_reserved"] == 0
    assert used(store, GLOBAL, clock.now)["open_risk_reserved"] == 0
    risk_reserve_or_raise(store, "WHOLESALE", 1)
    expected = ledger(exposure_used=501, open_risk_reserved=1, actions_count=2, denials=1)
    assert used(store, "WHOLESALE", clock.now) == used(store, GLOBAL, clock.now) == expected
    settled = risk_settle(store, "WHOLESALE", 500, 7, reservation_id=made.id)
    assert settled.status == "settled"
    assert used(store, "WHOLESALE", clock.now) == expected | {"realized_loss": 7}
    assert actions(store) == ["RESERVE", "DENY", "EXPIRE", "RESERVE", "SETTLE"]


def test_a_loss_is_booked_on_the_day_of_its_reserve_and_open_risk_goes_over_into_the_next(
    store: str, clock: Clock
) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", 450, expires_in_s=86400)
    clock.advance(hours=12)
    error = denied(store, "WHOLESALE", 51)
    assert (error.reason, error.used, error.room) == ("max_open_risk", 450, 50)
    risk_reserve_or_raise(store, "WHOLESALE", 50)
    today = ledger(exposure_used=50, open_risk_reserved=500, actions_count=1, denials=1)
    assert used(store, "WHOLESALE", clock.now) == used(store, GLOBAL, clock.now) == today
    risk_settle(store, "WHOLESALE", 450, 20, reservation_id=made.id)
    assert used(store, "WHOLESALE", clock.now) == today | {"open_risk_reserved": 50}
    with governance.reading(store) as connection:
        days = connection.execute(
            select(
                RiskLedgerDay.engine, RiskLedgerDay.exposure_used, RiskLedgerDay.realized_loss,
                RiskLedgerDay.is_current,
            ).where(RiskLedgerDay.day == START.date())
        ).all()  # fmt: skip
    assert sorted(map(tuple, days)) == [(GLOBAL, 450, 20, False), ("WHOLESALE", 450, 20, False)]


@pytest.mark.parametrize(
    ("midnight", "zone"),
    [
        (dt.datetime(2026, 3, 29, 22, tzinfo=dt.UTC), "Europe/Berlin"),  # a day of 23 hours ends
        (dt.datetime(2026, 10, 25, 23, tzinfo=dt.UTC), "Europe/Berlin"),  # one of 25
        (dt.datetime(2026, 11, 2, 5, tzinfo=dt.UTC), "America/New_York"),
        (dt.datetime(2026, 11, 23, 18, 15, tzinfo=dt.UTC), "Asia/Kathmandu"),
    ],
)
def test_a_day_begins_at_midnight_of_its_zone(
    sqlite_url: str, clock: Clock, midnight: dt.datetime, zone: str
) -> None:
    database.upgrade(database.normalise_url(sqlite_url))
    change(sqlite_url, GLOBAL, time_zone=zone)
    change(sqlite_url, "WHOLESALE", max_actions_per_day=1)
    clock.now = midnight - dt.timedelta(microseconds=1)
    before = risk_reserve_or_raise(sqlite_url, "WHOLESALE", 1)
    assert denied(sqlite_url, "WHOLESALE", 1).reason == "max_actions_per_day"
    clock.now = midnight
    after = risk_reserve_or_raise(sqlite_url, "WHOLESALE", 1)
    assert after.day - before.day == dt.timedelta(days=1)
    clock.now = midnight - dt.timedelta(seconds=5)  # a host whose clock is behind
    assert denied(sqlite_url, "WHOLESALE", 1).reason == "max_actions_per_day"


def test_a_zone_that_is_changed_gives_no_day_twice(store: str, clock: Clock) -> None:
    change(store, "WHOLESALE", max_actions_per_day=1)
    today, tomorrow = START.date(), START.date() + dt.timedelta(days=1)
    made = risk_reserve_or_raise(store, "WHOLESALE", 1)
    change(store, GLOBAL, time_zone="America/Los_Angeles")
    clock.now = dt.datetime(2026, 11, 24, 7, 59, tzinfo=dt.UTC)
    assert denied(store, "WHOLESALE", 1).reason == "max_actions_per_day"
    change(store, GLOBAL, time_zone="UTC")
    assert risk_reserve_or_raise(store, "WHOLESALE", 1).day == tomorrow
    change(store, GLOBAL, time_zone="America/Los_Angeles")
    assert denied(store, "WHOLESALE", 1).reason == "max_actions_per_day"
    assert risk_settle(store, "WHOLESALE", 1, 1, reservation_id=made.id).day == today
    assert used(store, GLOBAL)["realized_loss"] == 0


def test_an_engine_whose_ledger_is_ahead_takes_all_together_with_it(store: str, clock: Clock) -> None:
    risk_reserve_or_raise(store, "CAPITAL", 1)
    tomorrow = START.date() + dt.timedelta(days=1)
    with governance.acting(store) as connection:  # as adopted from tables whose days were local ones
        connection.execute(insert(RiskLedgerDay).values(engine="WHOLESALE", day=tomorrow, is_current=True))
    assert risk_reserve_or_raise(store, "WHOLESALE", 2).day == tomorrow
    assert risk_reserve_or_raise(store, "CAPITAL", 3).day == tomorrow
    assert used(store, GLOBAL)["exposure_used"] == 5


def test_a_release_gives_everything_back_and_a_refund_a_part_of_the_loss(store: str, clock: Clock) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", 100)
    assert risk_release(store, made.id, actor="broker", reason="buyer gone").status == "released"
    assert risk_release(store, made.id).status == "released"
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == ledger()
    with pytest.raises(ReservationClosed):
        risk_settle(store, "WHOLESALE", 100, 1, reservation_id=made.id)
    with pytest.raises(ReservationClosed):
        risk_refund(store, made.id, 1)
    other = risk_reserve_or_raise(store, "WHOLESALE", 100)
    with pytest.raises(InvalidArgument, match="amount"):
        risk_refund(store, other.id, 1)
    risk_settle(store, "WHOLESALE", 100, 30, reservation_id=other.id)
    assert risk_refund(store, other.id, Decimal("12.34")).realized_loss == Decimal("17.66")
    assert (
        used(store, GLOBAL)["realized_loss"] == used(store, "WHOLESALE")["realized_loss"] == Decimal("17.66")
    )
    with pytest.raises(InvalidArgument, match=r"at most the loss of 17\.66"):
        risk_refund(store, other.id, Decimal("17.67"))
    with pytest.raises(ReservationClosed):
        risk_release(store, other.id)
    assert actions(store) == ["RESERVE", "RELEASE", "RESERVE", "SETTLE", "REFUND"]


def test_a_settlement_finds_its_reservation_and_no_other(store: str, clock: Clock) -> None:
    first = risk_reserve_or_raise(store, "WHOLESALE", 10, correlation_id="a")
    clock.advance(seconds=1)
    second = risk_reserve_or_raise(store, "WHOLESALE", 10, correlation_id="b")
    with pytest.raises(NotReserved):
        risk_settle(store, "WHOLESALE", 10, 0, correlation_id="c")
    with pytest.raises(NotReserved):
        risk_settle(store, "WHOLESALE", 11, 0)
    with pytest.raises(NotReserved):
        risk_settle(store, "CAPITAL", 10, 0, reservation_id=first.id)
    with pytest.raises(NotReserved):
        risk_settle(store, "WHOLESALE", 10, 0, reservation_id=1)
    assert risk_settle(store, "WHOLESALE", 10, 1, correlation_id="b").id == second.id
    assert risk_settle(store, "WHOLESALE", 10, 2).id == first.id
    assert risk_settle(store, "WHOLESALE", 10, 2, reservation_id=first.id).id == first.id
    with pytest.raises(ReservationClosed):
        risk_settle(store, "WHOLESALE", 10, 3, reservation_id=first.id)
    assert used(store, GLOBAL)["realized_loss"] == 3


def test_an_id_that_is_none_is_refused_and_the_transaction_goes_on(
    store: str, business: Engine, clock: Clock
) -> None:
    with Session(business) as db:
        made = risk_reserve_or_raise(db, "WHOLESALE", 10)
        calls: list[Callable[[Any], object]] = [
            lambda wrong: risk_settle(db, "WHOLESALE", 10, 0, reservation_id=wrong),
            lambda wrong: risk_release(db, wrong),
            lambda wrong: risk_refund(db, wrong, 1),
        ]
        for call in calls:
            for wrong in ("7", True, 1.5):
                with pytest.raises(InvalidArgument, match="reservation_id"):
                    call(wrong)
        for unknown in (-1, 1 << 63):
            with pytest.raises(NotReserved):
                risk_release(db, unknown)
        risk_settle(db, "WHOLESALE", 10, 0, reservation_id=made.id)
        db.commit()
    assert actions(store) == ["RESERVE", "SETTLE"]


def test_a_repeated_refund_that_names_the_loss_is_refused(store: str) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", 10)
    risk_settle(store, "WHOLESALE", 10, 8, reservation_id=made.id)
    assert risk_refund(store, made.id, 3, realized_loss=8).realized_loss == 5
    with pytest.raises(ReservationClosed, match=r"its loss is 5\.00, not 8\.00"):
        risk_refund(store, made.id, 3, realized_loss=8)
    assert used(store, GLOBAL)["realized_loss"] == 5
