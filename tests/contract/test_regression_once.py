"""A trip is acted on once and in full: nothing gives back, forgets or repeats what another wire or a person did."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from golive import go_live, governance, regression, risk
from golive.database import normalise_url
from golive.errors import NotRestorable
from golive.exporters.tripwires import AfterEvents
from golive.models.base import utc_now
from golive.reader import EventReader
from golive.regression.judging import judge
from golive.risk.policy import RiskPolicyView
from tests.support.service import wait_until
from tests.support.wires import CAPITAL, WHOLESALE, enable, fill, standing

HOUR = dt.timedelta(hours=1)
OTHER = ("WHOLESALE", "offer_accept_rate")


def engine(url: str) -> RiskPolicyView:
    with governance.reading(url) as connection:
        [found] = [policy for policy in risk.policies(connection) if policy.engine == "WHOLESALE"]
    return found


def evaluate(url: str, stream: tuple[str, str] = WHOLESALE, **more: Any) -> regression.Evaluation:
    return regression.evaluate_policy(url, *stream, **more)


def rearm(url: str, stream: tuple[str, str] = WHOLESALE, **more: Any) -> regression.RegressionStateView:
    return regression.rearm(url, *stream, actor="ops", reason="it was mended", **more)


def fall(url: str, stream: tuple[str, str]) -> None:
    fill(url, stream, [True] * 200 + [False] * 50)


def alter(url: str, assignment: str, stream: tuple[str, str]) -> None:
    """Change a policy behind golive's back."""
    with governance.engine_for(url).begin() as connection:
        connection.execute(
            text(f"UPDATE regression_policy SET {assignment} WHERE domain = :domain AND metric = :metric"),
            {"domain": stream[0], "metric": stream[1]},
        )


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM governance_audit_head",
        "UPDATE governance_audit_head SET last_id = last_id - 1",
        "UPDATE governance_audit_head SET last_id = 9223372036854775807",
    ],
)
def test_no_damage_to_the_audit_trail_keeps_a_tripwire_from_acting(store: str, damage: str) -> None:
    enable(store, WHOLESALE)
    enable(store, CAPITAL)
    fall(store, WHOLESALE)
    fill(store, CAPITAL, [100.0 + n % 7 for n in range(200)] + [-50.0 - n % 7 for n in range(50)])
    with governance.engine_for(store).begin() as connection:
        connection.execute(text(damage))
    assert evaluate(store).tripped
    assert engine(store).throttle < 1
    assert evaluate(store, CAPITAL).tripped
    assert go_live.read(store).kill_switch_engaged
    assert standing(store, CAPITAL).triggered


def test_silence_before_a_re_arm_does_not_trip_the_wire_again(store: str) -> None:
    enable(store, WHOLESALE, trip_when_blind=True, blind_after_s=60)
    fill(store, WHOLESALE, [True] * 250, start=utc_now() - 3 * HOUR)
    up_since = utc_now() - 4 * HOUR
    assert evaluate(store, up_since=up_since).tripped
    since = rearm(store).rearmed_at
    assert since is not None
    soon, late = (since + dt.timedelta(seconds=after) for after in (30, 90))
    assert not evaluate(store, now=soon, up_since=up_since).tripped
    assert evaluate(store, now=late, up_since=up_since).tripped


def test_an_engine_is_not_given_back_while_another_wire_that_found_it_disabled_is_tripped(store: str) -> None:
    for stream in (WHOLESALE, OTHER):
        enable(store, stream)
        fall(store, stream)
        assert evaluate(store, stream).tripped
    with pytest.raises(NotRestorable, match="still tripped"):
        rearm(store, restore_throttle=True)
    assert not engine(store).enabled
    rearm(store)
    rearm(store, OTHER, restore_throttle=True)
    assert (engine(store).throttle, engine(store).enabled) == (1, True)


def test_an_engine_a_person_disabled_is_not_enabled_by_the_re_arm_of_a_wire_that_found_it_so(
    store: str,
) -> None:
    enable(store, WHOLESALE)
    with governance.engine_for(store).begin() as connection:
        connection.execute(
            text("UPDATE risk_policy SET enabled = false, throttle = 0 WHERE engine = 'WHOLESALE'")
        )
    fall(store, WHOLESALE)
    assert evaluate(store).acts == ("WHOLESALE was disabled already",)
    with pytest.raises(NotRestorable, match="throttled nothing"):
        rearm(store, restore_throttle=True)
    rearm(store)
    assert not engine(store).enabled


def test_silence_on_probation_does_not_forget_the_frozen_baseline(store: str) -> None:
    enable(store, WHOLESALE, trip_when_blind=True, blind_after_s=60)
    fall(store, WHOLESALE)
    assert evaluate(store).tripped
    frozen = standing(store, WHOLESALE).frozen_baseline
    assert frozen["level"] == 1
    since = rearm(store).rearmed_at
    assert since is not None
    assert evaluate(store, now=since + dt.timedelta(seconds=90)).tripped
    state = standing(store, WHOLESALE)
    assert (state.verdict, state.trips, state.frozen_baseline) == ("blind", 2, frozen)


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("action = 'throttle'", "action"),
        ("throttle_ladder = '[2]'", "throttle_ladder"),
        ("throttle_ladder = '0.5'", "throttle_ladder"),
        ("pinned_baseline = '{\"kind\": 1}'", "pinned"),
        ("domain = ' '", "domain"),
    ],
)
def test_a_policy_that_names_no_act_is_reported_and_hides_no_other(
    store: str, assignment: str, field: str
) -> None:
    for stream in (CAPITAL, WHOLESALE):
        enable(store, stream)
        fall(store, stream)
    alter(store, assignment, CAPITAL)
    bad, good = regression.evaluate_all(store)
    assert bad.problem is not None
    assert field in bad.problem
    assert good.tripped
    assert engine(store).throttle == 0


def test_a_database_that_fails_at_one_wire_lets_the_others_trip_first(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (CAPITAL, WHOLESALE):
        enable(store, stream)
        fall(store, stream)

    def refusing(reader: EventReader, policy: regression.RegressionPolicyView, *more: Any) -> Any:
        if policy.domain == "CAPITAL":
            with governance.reading(store) as connection:
                connection.execute(text("SELECT nothing FROM nowhere"))
        return judge(reader, policy, *more)

    monkeypatch.setattr("golive.regression.evaluation.judge", refusing)
    with pytest.raises(SQLAlchemyError):
        regression.evaluate_all(store)
    assert standing(store, WHOLESALE).triggered
    assert not engine(store).enabled


def test_an_evaluator_whose_clock_was_ahead_does_not_put_off_the_next_evaluation(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 250)
    evaluate(store, now=utc_now() + HOUR, up_since=utc_now() + HOUR)
    assert regression.evaluate_all(store, older_than_s=30) != []
    assert regression.evaluate_all(store, older_than_s=30) == []


def test_streams_the_store_could_not_be_asked_about_are_tried_again_at_the_next_event(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (CAPITAL, WHOLESALE):
        enable(store, stream)
        fall(store, stream)
    once, asked = regression.evaluate_policy, list[str]()

    def refusing_first(db: object, domain: str, metric: str) -> regression.Evaluation:
        asked.append(domain)
        if len(asked) == 1:
            raise OperationalError("SELECT", {}, Exception("the connection was cut"))
        return once(db, domain, metric)

    monkeypatch.setattr(regression, "evaluate_policy", refusing_first)
    counting = AfterEvents(normalise_url(store), 5)
    counting.saw([CAPITAL, WHOLESALE] * 5)
    wait_until(lambda: len(asked) == 1 and counting._due)
    counting.saw([OTHER])
    wait_until(lambda: standings(store) == 2)
    counting.stop()


def standings(url: str) -> int:
    with governance.reading(url) as connection:
        return sum(state.triggered for state in regression.states(connection))
