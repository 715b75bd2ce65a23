"""The confidence charter: trials, the gate at creation and at use, promotion."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from golive import database, governance
from golive.errors import InvalidArgument, VersionConflict
from golive.heimdall import (
    HeimdallPolicyView,
    NotEligible,
    Recommendation,
    Scorecard,
    heimdall_promote,
    heimdall_recommend,
    heimdall_require_prod_eligible,
    heimdall_sandbox_trial,
    ineligibility,
    policies,
    standings,
    upsert_policy,
)
from golive.models import HeimdallEvent, HeimdallRecommendation, HeimdallScorecardDay

DOMAIN = "BUYER_MATCH"
NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def at(monkeypatch: pytest.MonkeyPatch, now: dt.datetime) -> None:
    monkeypatch.setattr("golive.governance.now_of", lambda _: now)


def change(url: str, **changes: Any) -> HeimdallPolicyView:
    """Set the policy of the domain; without changes one that lets everything through."""
    values: dict[str, Any] = {
        "domain": DOMAIN,
        "min_confidence_prod": 0.0,
        "min_sandbox_trials": 0,
        "min_sandbox_success_rate": 0.0,
        "prod_use_enabled": True,
    }
    return upsert_policy(url, actor="test", reason="test", **(values | changes))


def try_out(url: str, successes: int, failures: int = 0, confidence: float = 0.9) -> None:
    for success in [True] * successes + [False] * failures:
        heimdall_sandbox_trial(url, DOMAIN, success=success, confidence=confidence)


def recommend(db: Any, confidence: float = 0.95, **arguments: Any) -> Recommendation:
    return heimdall_recommend(db, DOMAIN, confidence, {"buyer": 17}, **arguments)


def events(url: str, name: str) -> list[HeimdallEvent]:
    with Session(governance.engine_for(url)) as db:
        return list(db.scalars(select(HeimdallEvent).where(HeimdallEvent.event == name)))


def card_of(url: str, today: dt.date) -> Scorecard:
    with governance.reading(url) as connection:
        found = standings(connection, today)
        return next(standing.scorecard for standing in found if standing.policy.domain == DOMAIN)


def test_trials_make_the_scorecard_of_their_day(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, NOW)
    for success, confidence in [(True, 0.5), (False, 0.7), (True, 0.9)]:
        heimdall_sandbox_trial(store, DOMAIN, success=success, confidence=confidence, detail={"n": 1})
    at(monkeypatch, NOW + dt.timedelta(days=1))
    heimdall_sandbox_trial(store, DOMAIN, success=True, confidence=1)
    with Session(governance.engine_for(store)) as db:
        days = db.scalars(select(HeimdallScorecardDay).order_by(HeimdallScorecardDay.day)).all()
        found = [(row.day.day, row.trials, row.successes, round(row.avg_confidence, 9)) for row in days]
    assert found == [(23, 3, 2, 0.7), (24, 1, 1, 1.0)]
    card = card_of(store, dt.date(2026, 11, 24))
    assert (card.trials, card.successes, card.success_rate) == (4, 3, 0.75)
    assert card.avg_confidence == pytest.approx(0.775)
    assert [(event.ok, event.detail) for event in events(store, "sandbox_trial")][1] == (False, {"n": 1})


def test_trials_older_than_the_scorecards_days_do_not_count(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(store, scorecard_days=3, min_sandbox_trials=1)
    at(monkeypatch, NOW)
    try_out(store, 1)
    at(monkeypatch, NOW + dt.timedelta(days=2))
    assert recommend(store).prod_eligible
    at(monkeypatch, NOW + dt.timedelta(days=3))
    assert recommend(store).gate_reason == "too_few_trials"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prod_use_enabled": False}, "prod_use_disabled"),
        ({"min_confidence_prod": 0.96}, "confidence_too_low"),
        ({"min_sandbox_trials": 6}, "too_few_trials"),
        ({"min_sandbox_success_rate": 0.81}, "success_rate_too_low"),
    ],
)
def test_each_reason_stops_a_recommendation_at_its_creation_and_at_its_use(
    store: str, changes: dict[str, Any], reason: str
) -> None:
    bounds = {"min_confidence_prod": 0.95, "min_sandbox_trials": 5, "min_sandbox_success_rate": 0.8}
    try_out(store, 4, 1)
    change(store, **bounds)
    allowed = recommend(store)
    assert (allowed.prod_eligible, allowed.gate_reason) == (True, None)
    assert heimdall_require_prod_eligible(store, allowed.id) == allowed

    change(store, **bounds | changes)
    refused = recommend(store)
    assert (refused.prod_eligible, refused.gate_reason) == (False, reason)
    with pytest.raises(NotEligible) as tightened:
        heimdall_require_prod_eligible(store, allowed.id, actor="broker", correlation_id="deal_1")
    assert tightened.value.reason == reason
    assert isinstance(tightened.value, RuntimeError)

    # What was refused when it was made does not come through later, whatever has changed since.
    change(store)
    with pytest.raises(NotEligible) as still:
        heimdall_require_prod_eligible(store, refused.id)
    assert still.value.reason == reason
    decisions = [(event.recommendation_id, event.ok) for event in events(store, "prod_use")]
    assert decisions == [(allowed.id, True), (allowed.id, False), (refused.id, False)]
    event = events(store, "prod_use")[1]
    assert (event.actor, event.correlation_id) == ("broker", "deal_1")
    assert event.detail is not None
    assert event.detail["reason"] == reason


def test_a_domain_without_a_policy_and_an_unknown_recommendation_are_refused(store: str) -> None:
    made = heimdall_recommend(store, "NEW", 1, "anything")
    assert (made.prod_eligible, made.gate_reason) == (False, "policy_missing")
    for id_, reason in [(made.id, "policy_missing"), (1, "unknown_recommendation"), (1 << 70,) * 2]:
        with pytest.raises(NotEligible) as refused:
            heimdall_require_prod_eligible(store, id_)
        assert refused.value.reason in (reason, "unknown_recommendation")


def test_a_refusal_stays_although_the_caller_rolls_back_and_a_use_does_not(
    store: str, business: Engine
) -> None:
    change(store)
    made = recommend(store)
    with Session(business) as db:
        heimdall_require_prod_eligible(db, made.id)
        db.rollback()
    assert events(store, "prod_use") == []
    change(store, prod_use_enabled=False)
    with Session(business) as db:
        heimdall_sandbox_trial(db, DOMAIN, success=True, confidence=0.9)  # locks: the refusal comes after it
        with pytest.raises(NotEligible):
            heimdall_require_prod_eligible(db, made.id)
        db.rollback()
    assert [event.ok for event in events(store, "prod_use")] == [False]
    assert events(store, "sandbox_trial") == []


def test_a_recommendation_belongs_to_the_callers_transaction(store: str, business: Engine) -> None:
    change(store)
    with Session(business) as db:
        made = recommend(db, evidence=["clicks", 3], actor="agent", correlation_id="deal_9")
        assert heimdall_require_prod_eligible(db, made.id).actor == "agent"
        db.rollback()
        with pytest.raises(NotEligible):
            heimdall_require_prod_eligible(db, made.id)
        made = recommend(db, evidence=["clicks", 3])
        db.commit()
    with Session(business) as db:
        row = db.get_one(HeimdallRecommendation, made.id)
        assert (row.recommendation_json, row.evidence_json) == ({"buyer": 17}, ["clicks", 3])


@pytest.mark.parametrize("confidence", [float("nan"), -0.1, 1.1, float("inf"), True, "0.9", None])
def test_a_confidence_that_is_none_is_refused_and_nothing_recorded(sqlite_url: str, confidence: Any) -> None:
    database.upgrade(database.normalise_url(sqlite_url))
    with pytest.raises(InvalidArgument, match="confidence"):
        recommend(sqlite_url, confidence)
    with pytest.raises(InvalidArgument, match="confidence"):
        heimdall_sandbox_trial(sqlite_url, DOMAIN, success=True, confidence=confidence)
    with pytest.raises(InvalidArgument, match="min_confidence_prod"):
        change(sqlite_url, min_confidence_prod=confidence)
    with governance.reading(sqlite_url) as connection:
        for table in ("heimdall_recommendation", "heimdall_event", "heimdall_scorecard_day"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("recommendation", {"recommendation": {"a": float("nan")}}),
        ("recommendation", {"recommendation": {1: "a"}}),
        ("recommendation", {"recommendation": None}),
        ("recommendation", {"recommendation": {"a": "\x00"}}),
        ("recommendation", {"recommendation": "\ud800"}),
        ("recommendation", {"recommendation": object()}),
        ("recommendation", {"recommendation": "x" * 70_000}),
        ("evidence", {"evidence": {1, 2}}),
        ("domain", {"domain": ""}),
        ("domain", {"domain": "D" * 33}),
        ("actor", {"actor": "a" * 129}),
        ("correlation_id", {"correlation_id": "c" * 129}),
    ],
)
def test_an_argument_that_cannot_be_is_refused_by_name(
    sqlite_url: str, field: str, arguments: dict[str, Any]
) -> None:
    values: dict[str, Any] = {"domain": DOMAIN, "confidence": 0.9, "recommendation": "send"} | arguments
    with pytest.raises(InvalidArgument) as refused:
        heimdall_recommend(sqlite_url, **values)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_sandbox_trials", -1),
        ("min_sandbox_trials", 1.5),
        ("min_sandbox_success_rate", 1.01),
        ("scorecard_days", 0),
        ("prod_use_enabled", 1),
        ("domain", ""),
        ("reason", " "),
        ("actor", ""),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_name(sqlite_url: str, field: str, value: Any) -> None:
    database.upgrade(database.normalise_url(sqlite_url))
    values: dict[str, Any] = {"actor": "test", "reason": "test", "domain": DOMAIN, "prod_use_enabled": False}
    bounds = {"min_confidence_prod": 0.9, "min_sandbox_trials": 1, "min_sandbox_success_rate": 0.9}
    with pytest.raises(InvalidArgument) as refused:
        upsert_policy(sqlite_url, **(values | bounds | {field: value}))
    assert refused.value.field == field


def test_a_policy_edit_has_a_version_and_is_audited(store: str) -> None:
    with governance.reading(store) as connection:
        before = next(found for found in policies(connection) if found.domain == DOMAIN)
    after = change(store, version=before.version, min_sandbox_trials=7)
    assert (after.version, after.min_sandbox_trials, after.changed_by) == (before.version + 1, 7, "test")
    with pytest.raises(VersionConflict):
        change(store, version=before.version)
    with governance.reading(store) as connection:
        assert after in policies(connection)
        trail = connection.execute(text("SELECT action, target, ok FROM governance_audit")).all()
    assert [tuple(row) for row in trail] == [("heimdall_policy.upsert", DOMAIN, True)]


def test_a_promotion_must_be_earned_and_is_audited_either_way(store: str) -> None:
    change(store, min_sandbox_trials=3, min_sandbox_success_rate=0.6, prod_use_enabled=False)
    try_out(store, 2)
    with pytest.raises(NotEligible) as early:
        heimdall_promote(store, domain=DOMAIN, actor="ops", reason="looks good")
    assert early.value.reason == "too_few_trials"
    try_out(store, 0, 2)
    with pytest.raises(NotEligible) as poor:
        heimdall_promote(store, domain=DOMAIN, actor="ops", reason="enough of them")
    assert poor.value.reason == "success_rate_too_low"
    with pytest.raises(NotEligible) as missing:
        heimdall_promote(store, domain="NEW", actor="ops", reason="why not")
    assert missing.value.reason == "policy_missing"
    assert recommend(store).gate_reason == "prod_use_disabled"
    try_out(store, 1)
    with pytest.raises(VersionConflict):
        heimdall_promote(store, domain=DOMAIN, actor="ops", reason="now", version=1)
    promoted = heimdall_promote(store, domain=DOMAIN, actor="ops", reason="now", version=2)
    assert (promoted.prod_use_enabled, promoted.version, promoted.min_sandbox_trials) == (True, 3, 3)
    made = recommend(store)
    assert heimdall_require_prod_eligible(store, made.id).prod_eligible
    with governance.reading(store) as connection:
        trail = connection.execute(
            text("SELECT ok, target FROM governance_audit WHERE action = 'heimdall_policy.promote'")
        ).all()
    assert [tuple(row) for row in trail] == [(False, DOMAIN), (False, DOMAIN), (False, "NEW"), (True, DOMAIN)]
    assert [event.ok for event in events(store, "promotion")] == [False, False, False, True]


def test_nothing_is_used_while_the_database_cannot_be_asked(sqlite_url: str) -> None:
    with pytest.raises(Exception, match="no such table"):
        heimdall_require_prod_eligible(sqlite_url, 1)


shares = st.floats(0, 1)


@settings(max_examples=300, deadline=None)
@given(
    enabled=st.booleans(),
    bounds=st.tuples(shares, st.integers(0, 100), shares),
    trials=st.integers(0, 100).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    confidence=shares,
)
def test_a_recommendation_is_eligible_only_if_everything_is_met(
    enabled: bool, bounds: tuple[float, int, float], trials: tuple[int, int], confidence: float
) -> None:
    policy = HeimdallPolicyView(DOMAIN, *bounds, 30, enabled, None, None, 1, None)
    number, successes = trials
    rate = successes / number if number else None
    card = Scorecard(DOMAIN, NOW.date(), number, successes, rate, confidence if number else None)
    met = (
        enabled and confidence >= bounds[0] and number >= bounds[1] and successes >= bounds[2] * number - 1e-9
    )
    found = ineligibility(policy, card, confidence)
    assert found is not None or met
    if met and abs(successes - bounds[2] * number) > 1e-9 and number:
        assert found is None
