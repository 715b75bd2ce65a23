"""The risk guard: caps, denials, policies, and what is no money."""

from collections.abc import Callable
from decimal import ROUND_UP, Context, Decimal, localcontext
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.orm import Session

from golive import _prepared, database, governance
from golive.errors import InvalidArgument, VersionConflict
from golive.risk import (
    GLOBAL,
    risk_refund,
    risk_release,
    risk_reserve_or_raise,
    risk_settle,
    upsert_policy,
)
from golive.risk.policy import RiskPolicyView
from tests.support.risk import START, Clock, actions, change, denied, ledger, policy, used


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
