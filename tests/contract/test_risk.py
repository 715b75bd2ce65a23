"""The risk guard: caps, denials, the caller's transaction, days, expiry, keys, settlements."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_UP, Context, Decimal, localcontext
from threading import Barrier
from typing import Any

import pytest
from opentelemetry import baggage, context
from sqlalchemy import Connection, Engine, create_engine, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import _prepared, database, governance, names, risk
from golive.correlation import correlation
from golive.errors import InvalidArgument, VersionConflict
from golive.models import RiskEvent, RiskLedgerDay, RiskReservation
from golive.risk import (
    GLOBAL,
    IdempotencyConflict,
    NotReserved,
    ReservationClosed,
    RiskDenied,
    books,
    policies,
    risk_refund,
    risk_release,
    risk_reserve_or_raise,
    risk_settle,
    upsert_policy,
)
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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("golive.risk.guard.utc_now", made)
    return made


@pytest.fixture
def business(store: str) -> Iterator[Engine]:
    """The business's own engine on the store."""
    engine = create_engine(database.normalise_url(store))
    yield engine
    engine.dispose()


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


def test_a_reservation_is_in_both_ledgers_and_a_settlement_too(store: str, clock: Clock) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", Decimal("120.50"), actor="broker", correlation_id="d1")
    assert (made.engine, made.amount, made.status, made.day) == (
        "WHOLESALE", Decimal("120.50"), "open", START.date(),
    )  # fmt: skip
    reserved = ledger(exposure_used=Decimal("120.50"), open_risk_reserved=Decimal("120.50"), actions_count=1)
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == reserved
    settled = risk_settle(store, "WHOLESALE", Decimal("120.50"), Decimal("3.25"))
    assert (settled.id, settled.status, settled.realized_loss) == (made.id, "settled", Decimal("3.25"))
    after = ledger(exposure_used=Decimal("120.50"), realized_loss=Decimal("3.25"), actions_count=1)
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == after
    assert actions(store) == ["RESERVE", "SETTLE"]
    assert used(store, "CAPITAL") == ledger()


@pytest.mark.parametrize(
    ("reason", "caps", "before", "asked", "figures"),
    [
        ("max_daily_exposure", {"max_daily_exposure": 100}, 60, Decimal("40.01"), (100, 60, Decimal("40.01"), 40)),
        ("max_open_risk", {"max_open_risk": 50}, 30, 21, (50, 30, 21, 20)),
        ("max_actions_per_day", {"max_actions_per_day": 1}, 1, 1, (1, 1, 1, 0)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("who", [GLOBAL, "WHOLESALE"])
def test_either_policy_denies_although_the_other_allows_and_says_the_figures(
    store: str,
    clock: Clock,
    who: str,
    reason: str,
    caps: dict[str, Any],
    before: int,
    asked: Any,
    figures: Any,
) -> None:
    change(store, who, **caps)
    risk_reserve_or_raise(store, "WHOLESALE", before)
    error = denied(store, "WHOLESALE", asked)
    assert isinstance(error, RuntimeError)
    assert (error.engine, error.policy, error.reason) == ("WHOLESALE", who, reason)
    assert (error.limit, error.used, error.asked, error.room) == figures
    for part in (who, reason, *figures):
        assert str(part) in str(error)
    assert used(store, "WHOLESALE")["denials"] == used(store, GLOBAL)["denials"] == 1
    assert used(store, "WHOLESALE")["exposure_used"] == used(store, GLOBAL)["exposure_used"] == before
    fits = error.room if reason != "max_actions_per_day" else None
    if fits is not None:
        risk_reserve_or_raise(store, "WHOLESALE", fits)


@pytest.mark.parametrize(
    ("cap", "limit"),
    [("max_daily_exposure", 10), ("max_open_risk", 10), ("max_actions_per_day", 2), ("max_daily_loss", 3)],
)
@pytest.mark.parametrize("who", [GLOBAL, "WHOLESALE"])
def test_what_others_book_between_the_look_and_the_booking_counts(
    postgres_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, who: str, cap: str, limit: int
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    change(postgres_url, who, **{cap: limit})
    first = risk_reserve_or_raise(postgres_url, "WHOLESALE", 1)
    business = create_engine(database.normalise_url(postgres_url))
    looked = False

    execute = _prepared.execute

    def go_ahead(connection: Connection, statement: Any, parameters: Any) -> Any:
        nonlocal looked
        if "INSERT INTO risk_reservation" in str(statement) and not looked:
            looked = True
            with Session(business) as db:
                risk_reserve_or_raise(db, "WHOLESALE", 6)
                risk_settle(db, "WHOLESALE", 1, 3, reservation_id=first.id)
                db.commit()
        return execute(connection, statement, parameters)

    monkeypatch.setattr(_prepared, "execute", go_ahead)
    assert denied(postgres_url, "WHOLESALE", 5).reason == cap
    assert used(postgres_url, who)["exposure_used"] == 7
    business.dispose()


def test_a_loss_at_its_cap_denies_further_actions(store: str, clock: Clock) -> None:
    risk_reserve_or_raise(store, "WHOLESALE", 300)
    risk_settle(store, "WHOLESALE", 300, Decimal("199.99"))
    risk_reserve_or_raise(store, "WHOLESALE", 1)
    risk_settle(store, "WHOLESALE", 1, Decimal("0.01"))
    error = denied(store, "WHOLESALE", 1)
    assert (error.reason, error.limit, error.used, error.room) == ("max_daily_loss", 200, 200, 0)


def test_a_policy_that_is_missing_disabled_or_throttled_to_nothing_denies(store: str, clock: Clock) -> None:
    assert denied(store, "NOTIFY", 1).reason == "policy_disabled"
    assert denied(store, "UNKNOWN", 1).reason == "policy_missing"
    change(store, "WHOLESALE", throttle=0.0)
    assert denied(store, "WHOLESALE", 1).reason == "policy_disabled"
    change(store, GLOBAL, enabled=False)
    assert denied(store, "CAPITAL", 1).policy == GLOBAL
    assert used(store, GLOBAL)["denials"] == 4
    assert actions(store) == ["DENY"] * 4


def test_a_throttle_halves_the_room(store: str, clock: Clock) -> None:
    change(store, "WHOLESALE", throttle=0.5)
    error = denied(store, "WHOLESALE", Decimal("250.01"))
    assert (error.reason, error.limit, error.room) == ("max_open_risk", 250, 250)
    risk_reserve_or_raise(store, "WHOLESALE", 250)


@pytest.mark.parametrize("throttle", [float("nan"), -0.5, 0.0])
def test_a_throttle_no_policy_edit_makes_leaves_no_room(throttle: float) -> None:
    loss, exposure = Decimal(200), Decimal(1000)
    found = RiskPolicyView("WHOLESALE", True, loss, exposure, None, 500, throttle, "UTC", None, None, 1, None)
    assert not found.allows_actions
    assert tuple(found.limits()) == (0, 0, None, 0)


def test_after_the_callers_rollback_the_denial_is_there_and_the_reservation_is_not(
    store: str, business: Engine, clock: Clock
) -> None:
    with Session(business) as db:
        risk_reserve_or_raise(db, "WHOLESALE", 400)
        error = denied(db, "WHOLESALE", 101, actor="broker", reason="a large one", correlation_id="deal_7")
        assert (error.reason, error.room) == ("max_open_risk", 100)
        clock.advance(minutes=5)
        db.rollback()
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == ledger(denials=1)
    with Session(business) as db:
        [event] = db.scalars(select(RiskEvent))
        assert (event.action, event.ok, event.reason) == ("DENY", False, "max_open_risk")
        assert event.amount == 101
        assert (event.actor, event.correlation_id) == ("broker", "deal_7")
        assert event.created_at == START
        assert event.metadata_json == {
            "asked_for": "a large one", "policy": "WHOLESALE", "reason": "max_open_risk",
            "limit": "500.00", "used": "400.00", "asked": "101.00", "room": "100.00",
        }  # fmt: skip
        assert db.scalar(select(RiskReservation.id)) is None


def test_a_denial_that_waits_for_nobody_is_there_at_once(store: str, business: Engine, clock: Clock) -> None:
    with Session(business) as db:
        denied(db, "NOTIFY", 1)
        if business.dialect.name == "postgresql":
            assert actions(store) == ["DENY"]
    assert actions(store) == ["DENY"]


def test_a_denial_does_not_wait_for_who_waits_for_the_callers_rows(postgres_url: str, clock: Clock) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    business = create_engine(database.normalise_url(postgres_url))
    with business.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER)"))
        connection.execute(text("INSERT INTO deal VALUES (1)"))
    with Session(business) as other, Session(business) as db:
        db.execute(text("SELECT id FROM deal FOR UPDATE"))
        risk_reserve_or_raise(other, "WHOLESALE", 1)  # locks the ledgers, and may want the row next
        denied(db, "NOTIFY", 1)
        assert actions(postgres_url) == []
        other.commit()
        db.rollback()
    assert actions(postgres_url) == ["RESERVE", "DENY"]
    business.dispose()


def test_a_denial_in_a_part_of_a_longer_transaction_belongs_to_that(
    store: str, business: Engine, clock: Clock
) -> None:
    with business.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER)"))
        connection.execute(text("INSERT INTO deal VALUES (1)"))
        with Session(connection, join_transaction_mode="create_savepoint") as db:
            risk_reserve_or_raise(db, "WHOLESALE", 400)
            denied(db, "WHOLESALE", 400)
            db.commit()  # the connection goes on, and has the ledgers locked
    reserved = ledger(exposure_used=400, open_risk_reserved=400, actions_count=1, denials=1)
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == reserved
    assert actions(store) == ["RESERVE", "DENY"]


def test_a_reservation_whose_deadline_passed_while_it_waited_is_never_made(
    postgres_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", "0.5")
    business = create_engine(database.normalise_url(postgres_url))
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    risk_reserve_or_raise(business, "WHOLESALE", 8)
    with Session(business) as db, business.connect() as watcher:
        risk_reserve_or_raise(db, "WHOLESALE", 1)
        with pytest.raises(OperationalError):
            risk_reserve_or_raise(postgres_url, "WHOLESALE", 2)
        deadline = time.monotonic() + 20
        while watcher.scalar(waiting) and time.monotonic() < deadline:
            watcher.rollback()
        db.commit()
    risk_reserve_or_raise(business, "WHOLESALE", 4)  # after whoever waited
    assert used(postgres_url, GLOBAL)["exposure_used"] == 13
    business.dispose()


def test_threads_that_begin_a_day_do_not_wait_for_each_others_connections(
    postgres_url: str, clock: Clock
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    together = Barrier(8)

    def reserve(_: int) -> dt.date:
        together.wait()
        return risk_reserve_or_raise(postgres_url, "WHOLESALE", 1, expires_in_s=60).day

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(reserve, range(8))) == {START.date()}
        clock.advance(days=1)  # and all of them have expired
        assert set(threads.map(reserve, range(8))) == {START.date() + dt.timedelta(days=1)}
    assert used(postgres_url, "WHOLESALE", clock.now)["actions_count"] == 8


def test_a_database_that_is_stricter_by_default_costs_no_reservation(postgres_url: str, clock: Clock) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    business = create_engine(database.normalise_url(postgres_url))
    with business.begin() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    business.dispose()
    with ThreadPoolExecutor(4) as threads:
        made = threads.map(lambda _: risk_reserve_or_raise(postgres_url, "WHOLESALE", 1).id, range(100))
        assert len(set(made)) == 100
    assert used(postgres_url, GLOBAL)["exposure_used"] == 100


def test_a_reservation_commits_with_the_callers_transaction(
    store: str, business: Engine, clock: Clock
) -> None:
    with Session(business) as db:
        db.execute(text("CREATE TABLE deal (id INTEGER)"))
        db.commit()
        made = risk_reserve_or_raise(db, "WHOLESALE", 10)
        db.execute(text("INSERT INTO deal VALUES (1)"))
        if business.dialect.name == "postgresql":
            assert used(store, "WHOLESALE")["actions_count"] == 0
        with db.begin_nested() as savepoint:
            risk_reserve_or_raise(db, "WHOLESALE", 20)
            savepoint.rollback()
        db.commit()
        assert used(store, "WHOLESALE")["exposure_used"] == 10
        risk_settle(db, "WHOLESALE", 10, 1, reservation_id=made.id)
        db.rollback()
        assert used(store, "WHOLESALE")["open_risk_reserved"] == 10


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


@pytest.mark.parametrize("precision", [2, 8])
def test_amounts_are_exact_whatever_the_applications_decimal_context_is(
    store: str, clock: Clock, precision: int
) -> None:
    change(store, GLOBAL, max_daily_exposure=None)
    change(
        store, "WHOLESALE", max_daily_exposure=Decimal("246913.57"), max_open_risk=None, throttle=0.9999999999
    )
    with localcontext(Context(prec=precision, rounding=ROUND_UP)):
        first = risk_reserve_or_raise(store, "WHOLESALE", Decimal("123456.78"))
        error = denied(store, "WHOLESALE", Decimal("123456.79"))
        assert error.room == Decimal("123456.78")
        second = risk_reserve_or_raise(store, "WHOLESALE", Decimal("123456.78"))
        assert used(store, "WHOLESALE")["open_risk_reserved"] == Decimal("246913.56")
        risk_settle(store, "WHOLESALE", first.amount, Decimal("100000.01"), reservation_id=first.id)
        assert risk_refund(store, first.id, Decimal("0.02")).realized_loss == Decimal("99999.99")
    risk_release(store, second.id)
    expected = {"exposure_used": Decimal("123456.78"), "realized_loss": Decimal("99999.99")}
    assert used(store, "WHOLESALE") == ledger(**expected, actions_count=1, denials=1)


@pytest.mark.parametrize(
    "amount", [-1, 0.5, "1", Decimal("0.001"), Decimal("NaN"), Decimal("Infinity"), 10**14, True, None]
)
def test_an_amount_that_is_none_is_refused(sqlite_url: str, amount: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: risk_reserve_or_raise(sqlite_url, "WHOLESALE", amount),
        lambda: risk_settle(sqlite_url, "WHOLESALE", amount, 0),
        lambda: risk_settle(sqlite_url, "WHOLESALE", 1, amount),
        lambda: risk_refund(sqlite_url, 1, amount),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match="whole cents"):
            call()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("engine", {"engine": GLOBAL}),
        ("engine", {"engine": ""}),
        ("engine", {"engine": "x" * 33}),
        ("idempotency_key", {"idempotency_key": ""}),
        ("expires_in_s", {"expires_in_s": 0}),
        ("expires_in_s", {"expires_in_s": float("nan")}),
        ("actor", {"actor": "a\nb"}),
        ("reason", {"reason": "x" * 2001}),
        ("correlation_id", {"correlation_id": "x" * 129}),
    ],
)
def test_an_argument_that_cannot_be_is_refused_by_name(sqlite_url: str, field: str, arguments: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        risk_reserve_or_raise(sqlite_url, **{"engine": "WHOLESALE", "amount": 1} | arguments)
    assert caught.value.field == field


def test_a_policy_edit_has_a_version_and_is_audited(store: str) -> None:
    before = policy(store, "WHOLESALE")
    after = change(store, "WHOLESALE", max_open_risk=600, throttle=0.25)
    assert (after.version, after.changed_by) == (before.version + 1, "test")
    assert after.max_open_risk == 600
    values = after._asdict()
    for known in ("changed_by", "reason", "updated_at", "version"):
        values.pop(known)
    with pytest.raises(VersionConflict):
        upsert_policy(store, **values, actor="a", reason="r", version=before.version)
    made = upsert_policy(store, **values | {"engine": "NEW"}, actor="a", reason="r", version=0)
    assert made.version == 1
    with pytest.raises(VersionConflict):
        upsert_policy(store, **values | {"engine": "NEW"}, actor="a", reason="r", version=0)
    for field, wrong in {
        "throttle": 1.1, "max_open_risk": 0.5, "max_actions_per_day": -1, "time_zone": "Europe/Berlin", "enabled": 1,
    }.items():  # fmt: skip
        with pytest.raises(InvalidArgument, match=field):
            upsert_policy(store, **values | {field: wrong}, actor="a", reason="r")
    with pytest.raises(InvalidArgument, match="IANA"):
        change(store, GLOBAL, time_zone="Nowhere/Land")
    from golive import audit

    assert audit.verify(store).ok
    with governance.reading(store) as connection:
        trail = [(entry.action, entry.target) for entry in audit.entries(connection, limit=10)]
    assert trail == [("risk_policy.upsert", "NEW"), ("risk_policy.upsert", "WHOLESALE")]


def test_an_edit_leaves_the_throttle_and_the_zone_nobody_named(store: str) -> None:
    change(store, "WHOLESALE", throttle=0.25)
    change(store, GLOBAL, time_zone="Europe/Berlin")
    for engine in (GLOBAL, "WHOLESALE", "NEW"):
        caps: dict[str, Any] = dict.fromkeys(("max_daily_loss", "max_daily_exposure", "max_open_risk"), 9)
        edit = caps | {"engine": engine, "enabled": True, "max_actions_per_day": 3}
        upsert_policy(store, **edit, actor="ops", reason="caps of 9")
        assert policy(store, engine).max_open_risk == 9
    assert (policy(store, "WHOLESALE").throttle, policy(store, "NEW").throttle) == (0.25, 1)
    assert (policy(store, GLOBAL).time_zone, policy(store, "NEW").time_zone) == ("Europe/Berlin", "UTC")


def test_a_retry_under_another_ambient_correlation_id_is_the_same_reservation(store: str) -> None:
    """A service has a fresh one for every request, the retried one included."""
    made = []
    for ambient in ("first", "second"):
        with correlation(ambient):
            made.append(risk_reserve_or_raise(store, "WHOLESALE", 10, idempotency_key="k"))
    assert made[0] == made[1]
    assert made[0].correlation_id == "first"


def test_a_repeated_refund_that_names_the_loss_is_refused(store: str) -> None:
    made = risk_reserve_or_raise(store, "WHOLESALE", 10)
    risk_settle(store, "WHOLESALE", 10, 8, reservation_id=made.id)
    assert risk_refund(store, made.id, 3, realized_loss=8).realized_loss == 5
    with pytest.raises(ReservationClosed, match=r"its loss is 5\.00, not 8\.00"):
        risk_refund(store, made.id, 3, realized_loss=8)
    assert used(store, GLOBAL)["realized_loss"] == 5


def test_an_asynchronous_session_is_told_how(sqlite_url: str) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    with pytest.raises(InvalidArgument, match="run_sync"):
        risk_reserve_or_raise(AsyncSession(), "WHOLESALE", 1)
    assert risk.__doc__
