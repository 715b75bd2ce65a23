"""The tripwire as a lever: it trips once, acts in one transaction, and stays until a person re-arms it."""

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, text

from golive import audit, database, go_live, governance, regression, risk
from golive.errors import (
    InvalidArgument,
    NotRestorable,
    NoTripwire,
    NotTripped,
    RiskDenied,
    VersionConflict,
)
from golive.models.base import utc_now
from golive.regression import state as state_module
from golive.risk.policy import RiskPolicyView
from golive.tripwire import PinnedBaseline
from tests.support.service import audited
from tests.support.wires import CAPITAL, WHOLESALE, at_rate, enable, fill, standing

HOUR = dt.timedelta(hours=1)


def engine(url: str, name: str = "WHOLESALE") -> RiskPolicyView:
    with governance.reading(url) as connection:
        [found] = [policy for policy in risk.policies(connection) if policy.engine == name]
    return found


def evaluate(url: str, stream: tuple[str, str] = WHOLESALE, **more: Any) -> regression.Evaluation:
    return regression.evaluate_policy(url, *stream, **more)


def acts(url: str) -> list[str]:
    return [act["action"] for act in audited(url)]


def rearm(url: str, stream: tuple[str, str] = WHOLESALE, **more: Any) -> regression.RegressionStateView:
    return regression.rearm(url, *stream, actor="ops", reason="the price feed is mended", **more)


def test_the_first_example_trips_throttles_denies_and_leaves_evidence(store: str) -> None:
    enable(store, WHOLESALE)
    ids = fill(store, WHOLESALE, at_rate(0.95, 200) + at_rate(0.74, 50))
    found = evaluate(store)
    assert found.tripped
    assert found.finding is not None
    assert found.finding.baseline == 0.95
    assert found.finding.current == 0.74
    state = standing(store, WHOLESALE)
    assert state.triggered
    assert state.verdict == "triggered"
    assert state.drop_fraction == pytest.approx(0.22, abs=0.002)
    assert state.frozen_baseline == {"kind": "rate", "level": 0.95, "n": 200}
    failing = state.evidence["failing"]
    assert len(failing) == 13
    assert {event["id"] for event in failing} <= set(ids[200:])
    assert all(len(event["trace_id"]) == 32 for event in failing)
    assert state.evidence["window"]["n"] == 50
    assert state.evidence["baseline_span"]["n"] == 200
    assert state.evidence["acts"] == list(found.acts)

    assert (engine(store).throttle, engine(store).enabled) == (0, False)
    with pytest.raises(RiskDenied) as denied:
        risk.risk_reserve_or_raise(store, "WHOLESALE", Decimal(1), actor="broker")
    assert denied.value.reason == "policy_disabled"
    assert acts(store) == ["regression_policy.upsert", "risk_policy.throttle", "regression_state.trip"]
    trip = audited(store)[-1]
    assert (trip["actor"], trip["target"]) == ("tripwire", "WHOLESALE/contract_rate")
    assert trip["after"]["done"] == found.acts[0]


def test_money_that_turns_into_loss_pulls_the_kill_switch(store: str) -> None:
    enable(store, CAPITAL)
    draw = random.Random(7)
    fill(
        store,
        CAPITAL,
        [draw.gauss(500, 50) for _ in range(200)] + [draw.gauss(-300, 50) for _ in range(50)],
    )
    assert evaluate(store, CAPITAL).tripped
    assert go_live.read(store).kill_switch_engaged
    assert standing(store, CAPITAL).drop_fraction == pytest.approx(1.6, abs=0.05)
    assert acts(store)[1:] == ["kill_switch.engage", "regression_state.trip"]


def test_249_events_are_too_few_and_never_ok(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, at_rate(0.95, 200) + [False] * 49)
    assert not evaluate(store).tripped
    assert standing(store, WHOLESALE).verdict == "insufficient_data"
    assert not standing(store, WHOLESALE).triggered


def test_late_duplicate_and_out_of_order_events_give_what_ordered_ones_give(store: str) -> None:
    enable(store, WHOLESALE)
    start = utc_now() - HOUR
    late = start + dt.timedelta(seconds=200)
    fill(store, WHOLESALE, [False] * 50, start=late)  # what happened last is written first
    fill(store, WHOLESALE, [True] * 200, start=start)
    found = evaluate(store, now=late + dt.timedelta(seconds=60))
    assert found.finding is not None
    assert (found.finding.baseline, found.finding.current) == (1.0, 0.0)


def test_a_baseline_of_zero_has_no_drop_and_a_negative_one_falls_further(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [False] * 250)
    found = evaluate(store).finding
    assert found is not None
    assert (found.verdict, found.drop_fraction) == ("ok", None)
    enable(store, CAPITAL)
    fill(store, CAPITAL, [-100.0] * 200 + [-150.0] * 50)
    assert standing(store, WHOLESALE).verdict == "ok"
    assert evaluate(store, CAPITAL).tripped
    assert standing(store, CAPITAL).drop_fraction == pytest.approx(0.5)


def test_events_that_stop_make_the_wire_blind_and_nothing_else(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 250)
    assert evaluate(store).finding.verdict == "ok"  # type: ignore[union-attr]
    later = utc_now() + HOUR
    assert evaluate(store, now=later).finding.verdict == "blind"  # type: ignore[union-attr]
    state = standing(store, WHOLESALE)
    assert (state.verdict, state.triggered) == ("blind", False)
    assert acts(store) == ["regression_policy.upsert"]
    # A service that was not up cannot have been silent.
    assert evaluate(store, now=later, up_since=later).finding.verdict == "ok"  # type: ignore[union-attr]


def test_events_stamped_ahead_of_the_clock_wait_for_their_time_and_hide_no_silence(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 250)
    fill(store, WHOLESALE, [False] * 50, start=utc_now() + 48 * HOUR)
    found = evaluate(store).finding
    assert found is not None
    assert (found.verdict, found.current) == ("ok", 1)
    assert evaluate(store, now=utc_now() + HOUR).finding.verdict == "blind"  # type: ignore[union-attr]
    assert evaluate(store, now=utc_now() + 49 * HOUR).tripped


def test_a_blind_wire_trips_where_its_policy_says_so(store: str) -> None:
    enable(store, WHOLESALE, trip_when_blind=True, blind_after_s=60)
    fill(store, WHOLESALE, [True] * 250)
    assert evaluate(store, now=utc_now() + HOUR).tripped
    assert not engine(store).enabled
    assert standing(store, WHOLESALE).verdict == "blind"


def test_a_wire_that_goes_blind_on_probation_keeps_the_frozen_baseline(store: str) -> None:
    enable(store, WHOLESALE, trip_when_blind=True, blind_after_s=600, throttle_ladder=[0.5, 0.25])
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    assert evaluate(store).tripped
    rearm(store)
    assert evaluate(store, now=utc_now() + HOUR).tripped
    state = standing(store, WHOLESALE)
    assert (state.verdict, state.trips, state.frozen_baseline["level"]) == ("blind", 2, 1)
    assert engine(store).throttle == 0.25


def test_ten_thousand_good_events_do_not_clear_a_trip_and_a_re_arm_does(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50, start=utc_now() - 4 * HOUR)
    assert evaluate(store).tripped
    evidence = standing(store, WHOLESALE).evidence
    fill(store, WHOLESALE, [True] * 10_000)
    assert not evaluate(store).tripped
    state = standing(store, WHOLESALE)
    assert (state.triggered, state.verdict, state.current) == (True, "ok", 1.0)
    assert state.evidence == evidence
    assert not engine(store).enabled

    rearmed = rearm(store, version=state.version)
    assert (rearmed.triggered, rearmed.rearmed_by, rearmed.note) == (False, "ops", "the price feed is mended")
    assert audited(store)[-1]["action"] == "regression_state.rearm"
    assert not engine(store).enabled, "what the trip did stays done"
    evaluate(store)
    assert standing(store, WHOLESALE).verdict == "insufficient_data"


def test_a_re_arm_needs_a_trip_the_right_version_and_a_reason(store: str) -> None:
    enable(store, WHOLESALE)
    with pytest.raises(NotTripped):
        rearm(store)
    with pytest.raises(NotTripped):
        rearm(store, ("NO", "wire"))
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    evaluate(store)
    with pytest.raises(VersionConflict):
        rearm(store, version=1)
    with pytest.raises(InvalidArgument, match="reason"):
        regression.rearm(store, *WHOLESALE, actor="ops", reason=" ")
    assert standing(store, WHOLESALE).triggered


def test_a_re_arm_restores_the_throttle_only_where_it_is_asked_to(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    evaluate(store)
    assert rearm(store, restore_throttle=True).throttled_from is None
    assert (engine(store).throttle, engine(store).enabled) == (1, True)
    assert acts(store)[-2:] == ["risk_policy.restore", "regression_state.rearm"]


def test_a_throttle_somebody_has_changed_since_is_not_restored(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    evaluate(store)
    caps = engine(store)._asdict()
    named = ("engine", "max_daily_loss", "max_daily_exposure", "max_open_risk", "max_actions_per_day")
    edit = {name: caps[name] for name in named}
    risk.upsert_policy(store, **edit, enabled=True, throttle=0.3, actor="ops", reason="a trial")
    with pytest.raises(NotRestorable, match="changed since"):
        rearm(store, restore_throttle=True)
    assert standing(store, WHOLESALE).triggered
    rearm(store)
    assert engine(store).throttle == 0.3


def test_two_wires_of_one_engine_restore_it_together_or_not_at_all(store: str) -> None:
    other = ("WHOLESALE", "offer_accept_rate")
    enable(store, WHOLESALE, throttle_ladder=[0.5, 0.25])
    enable(store, other, throttle_ladder=[0.1])
    for stream in (WHOLESALE, other):
        fill(store, stream, [True] * 200 + [False] * 50)
        assert evaluate(store, stream).tripped
    assert (engine(store).throttle, engine(store).enabled) == (0.1, True)
    with pytest.raises(NotRestorable, match="still tripped"):
        rearm(store, other, restore_throttle=True)
    rearm(store, other)
    rearm(store, restore_throttle=True)
    assert engine(store).throttle == 1


def test_on_probation_a_trip_goes_one_step_down_the_ladder(store: str) -> None:
    enable(store, WHOLESALE, throttle_ladder=[0.5, 0.25])
    fill(store, WHOLESALE, [True] * 200 + [False] * 50, start=utc_now() - HOUR)
    evaluate(store)
    assert engine(store).throttle == 0.5
    for throttle, enabled, trips in ((0.25, True, 2), (0.25, False, 3)):
        since = rearm(store).rearmed_at
        assert since is not None
        # Half as good as the frozen baseline: a rolling one of the same events would call that well.
        fill(store, WHOLESALE, [True, False] * 30, start=since + dt.timedelta(milliseconds=1), gap_s=1e-4)
        assert evaluate(store, now=since + dt.timedelta(seconds=1)).tripped
        assert (engine(store).throttle, engine(store).enabled) == (throttle, enabled)
        assert standing(store, WHOLESALE).trips == trips
        assert standing(store, WHOLESALE).frozen_baseline["level"] == 1


def test_a_probation_that_ends_well_forgets_the_trip(store: str) -> None:
    enable(store, WHOLESALE, throttle_ladder=[0.5, 0.25])
    fill(store, WHOLESALE, [True] * 200 + [False] * 50, start=utc_now() - HOUR)
    evaluate(store)
    since = rearm(store).rearmed_at
    assert since is not None
    after = since + dt.timedelta(milliseconds=1)
    fill(store, WHOLESALE, at_rate(0.9, 249), start=after, gap_s=1e-4)
    evaluate(store, now=after)
    state = standing(store, WHOLESALE)
    assert (state.verdict, state.trips, state.frozen_baseline["level"]) == ("ok", 1, 1)
    fill(store, WHOLESALE, [True], start=after + dt.timedelta(seconds=1))
    evaluate(store, now=after + dt.timedelta(seconds=1))
    state = standing(store, WHOLESALE)
    assert (state.verdict, state.trips, state.frozen_baseline) == ("ok", 0, None)
    assert state.baseline == 0.9


def test_a_shadow_counts_what_would_have_tripped_once_and_acts_on_nothing(store: str) -> None:
    enable(store, WHOLESALE, shadow=True)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    for _ in range(3):
        found = evaluate(store)
        assert (found.tripped, found.would_trip) == (False, True)
    state = standing(store, WHOLESALE)
    assert (state.shadow_trips, state.triggered, state.verdict) == (1, False, "triggered")
    assert engine(store).enabled
    assert acts(store) == ["regression_policy.upsert"]


def test_a_disabled_wire_is_judged_and_nothing_is_written(store: str) -> None:
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    found = evaluate(store)
    assert found.finding is not None
    assert (found.finding.verdict, found.tripped) == ("triggered", False)
    assert regression.evaluate_all(store) == []
    with governance.reading(store) as connection:
        assert regression.states(connection) == []
    assert acts(store) == []


def test_notify_records_and_a_domain_without_an_engine_has_nothing_to_throttle(store: str) -> None:
    match = ("BUYER_MATCH", "match_success")
    enable(store, match)
    enable(store, WHOLESALE, action="NOTIFY")
    for stream in (match, WHOLESALE):
        fill(store, stream, [True] * 200 + [False] * 50)
    [one, two] = regression.evaluate_all(store)
    assert one.acts == ("BUYER_MATCH has no risk policy, so there is nothing to throttle",)
    assert two.acts == ("it was recorded",)
    assert engine(store).enabled


def test_evaluations_that_change_nothing_leave_no_act(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 250)
    for _ in range(20):
        evaluate(store)
    assert acts(store) == ["regression_policy.upsert"]
    assert standing(store, WHOLESALE).version == 1


def test_cancelled_events_and_those_of_the_other_kind_do_not_count(store: str) -> None:
    enable(store, WHOLESALE)
    outcomes: list[bool | float | None] = [*([True] * 200), *([False] * 50)]
    mixed = [each for outcome in outcomes for each in (None, outcome)]
    mixed[40:40] = [3.5] * 20
    fill(store, WHOLESALE, mixed)
    found = evaluate(store)
    assert found.finding is not None
    assert (found.finding.kind, found.finding.baseline, found.finding.current) == ("rate", 1, 0)
    assert found.tripped


def test_a_policy_that_cannot_be_applied_does_not_keep_the_others_from_being(store: str) -> None:
    enable(store, CAPITAL)
    enable(store, WHOLESALE)
    with governance.engine_for(store).begin() as connection:
        connection.execute(text("UPDATE regression_policy SET window_events = -1 WHERE domain = 'CAPITAL'"))
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    bad, good = regression.evaluate_all(store)
    assert bad.problem is not None
    assert "window_events" in bad.problem
    assert good.tripped


def test_a_slow_decline_is_seen_against_a_pinned_baseline_and_not_by_a_rolling_one(store: str) -> None:
    draw = random.Random(5)
    rolling, pinned = ("DESK", "rolling"), ("DESK", "pinned")
    start = utc_now() - dt.timedelta(weeks=60)
    for stream in (rolling, pinned):
        enable(store, stream, mode="confirmed", action="NOTIFY")
        fill(store, stream, [draw.random() < 0.9 for _ in range(400)], start=start, gap_s=600)
    regression.pin_baseline(
        store, domain="DESK", metric="pinned", until=start + dt.timedelta(days=7), actor="ops", reason="well"
    )
    tripped = {rolling: 0, pinned: 0}
    for week in range(1, 31):  # 0.9 to 0.6, a point a week
        begin = start + dt.timedelta(weeks=week)
        for stream in (rolling, pinned):
            outcomes = [draw.random() < 0.9 - week / 100 for _ in range(300)]
            fill(store, stream, outcomes, start=begin, gap_s=600)
            found = evaluate(store, stream, now=begin + dt.timedelta(days=3))
            tripped[stream] = tripped[stream] or (week if found.tripped else 0)
    assert tripped[rolling] == 0
    assert 0 < tripped[pinned] <= 20  # a drop of 20 % is there from week 18 on


def test_a_policy_keeps_what_nobody_names_and_refuses_what_cannot_work(store: str) -> None:
    made = regression.upsert_policy(
        store, domain="DESK", metric="sold", max_drop_fraction=0.3, actor="ops", reason="new", version=0
    )
    assert (made.mode, made.enabled, made.throttle_ladder, made.version) == ("confirmed", False, [0], 1)
    changed = regression.upsert_policy(
        store, domain="DESK", metric="sold", blind_after_s=60, actor="ops", reason="quieter", version=1
    )
    assert (changed.max_drop_fraction, changed.blind_after_s, changed.version) == (0.3, 60, 2)
    assert audited(store)[-1]["after"]["blind_after_s"] == 60

    bad: list[dict[str, Any]] = [
        {"window_events": 4},
        {"mode": "guess"},
        {"action": "PANIC"},
        {"throttle_ladder": [0.1, 0.5]},
        {"throttle_ladder": []},
        {"throttle_ladder": [1]},
        {"max_drop_fraction": float("nan")},
        {"enabled": 1},
        {"pinned_baseline": PinnedBaseline("value", 4.0)},
    ]
    for values in bad:
        with pytest.raises(InvalidArgument):
            regression.upsert_policy(store, domain="DESK", metric="sold", actor="ops", reason="bad", **values)
    with pytest.raises(VersionConflict):
        regression.upsert_policy(store, domain="DESK", metric="sold", actor="ops", reason="x", version=1)
    with pytest.raises(NoTripwire):
        evaluate(store, ("NO", "wire"))


def test_a_baseline_is_pinned_and_taken_away_again(store: str) -> None:
    enable(store, WHOLESALE)
    with pytest.raises(InvalidArgument, match="8 events or more"):
        regression.pin_baseline(store, domain="WHOLESALE", metric="contract_rate", actor="a", reason="r")
    fill(store, WHOLESALE, at_rate(0.9, 100), start=utc_now() - HOUR)
    pinned = regression.pin_baseline(
        store, domain="WHOLESALE", metric="contract_rate", actor="a", reason="week 1 was well"
    )
    assert pinned.pinned_baseline == {"kind": "rate", "level": 0.9, "n": 100}
    assert acts(store)[-1] == "regression_policy.pin"
    fill(store, WHOLESALE, at_rate(0.5, 60))
    assert evaluate(store).tripped
    freed = regression.upsert_policy(
        store, domain="WHOLESALE", metric="contract_rate", unpin=True, actor="a", reason="r"
    )
    assert freed.pinned_baseline is None


def test_an_evaluation_that_finds_nothing_waits_for_no_writer(postgres_url: str) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    enable(postgres_url, WHOLESALE)
    fill(postgres_url, WHOLESALE, [True] * 250)
    with governance.acting(postgres_url):  # an act that takes its time
        found = evaluate(postgres_url)
    assert found.finding is not None
    assert (found.finding.verdict, found.state.verdict) == ("ok", "ok")


def test_what_was_seen_before_a_trip_does_not_overwrite_it(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    with governance.reading(store) as connection:
        seen = state_module.state_of(connection, *WHOLESALE)
    assert evaluate(store).tripped
    with governance.engine_for(store).begin() as connection:
        assert not state_module.write(connection, seen, {"verdict": "ok", "triggered": False})
    assert standing(store, WHOLESALE).verdict == "triggered"


def test_a_trip_is_whole_or_not_at_all(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    append = audit.append

    def fail_at_the_trip(connection: Connection, **act: Any) -> None:
        if act["action"] == "regression_state.trip":
            raise RuntimeError("the process dies here")
        append(connection, **act)

    monkeypatch.setattr(audit, "append", fail_at_the_trip)
    with pytest.raises(RuntimeError):
        evaluate(store)
    assert (engine(store).throttle, engine(store).enabled) == (1, True)
    assert acts(store) == ["regression_policy.upsert"]
    with governance.reading(store) as connection:
        assert regression.states(connection) == []
    monkeypatch.undo()
    assert evaluate(store).tripped
