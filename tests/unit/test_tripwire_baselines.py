"""Baselines that stay, and events that stop."""

import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.errors import InvalidArgument
from golive.tripwire import (
    BLIND,
    CONFIRMED,
    INSUFFICIENT_DATA,
    MODES,
    OK,
    RATE,
    THRESHOLD,
    TRIGGERED,
    VALUE,
    Observation,
    PinnedBaseline,
    Rule,
    evaluate,
    events_needed,
    pin,
)
from tests.support.streams import MINUTE, START, amounts, normal, outcomes, rate

WELL = rate(1330, 1400)
"""95 %, evenly spread."""


@pytest.mark.parametrize("mode", MODES)
def test_a_pinned_rate_needs_no_events_before_the_window(mode: str) -> None:
    rule = Rule(mode, pinned=PinnedBaseline(RATE, 0.95, 1000))
    assert evaluate(rule, outcomes(rate(47, 49))).verdict == INSUFFICIENT_DATA
    assert evaluate(rule, outcomes(rate(47, 50))).verdict == OK
    finding = evaluate(rule, outcomes(rate(30, 50)))
    assert (finding.verdict, finding.baseline, finding.pinned) == (TRIGGERED, 0.95, True)
    assert (finding.baseline_span, finding.baseline_n) == (None, 1000)


@pytest.mark.parametrize("mode", MODES)
def test_a_pinned_mean_needs_no_events_before_the_window(mode: str) -> None:
    rule = Rule(mode, pinned=pin(amounts(normal(100, 20, 1000))))
    assert evaluate(rule, amounts(normal(100, 20, 50, seed=2))).verdict == OK
    finding = evaluate(rule, amounts(normal(60, 20, 50, seed=2)))
    assert finding.verdict == TRIGGERED
    assert finding.baseline == pytest.approx(100, abs=2)


def test_a_rate_that_is_decreed_is_taken_as_known() -> None:
    finding = evaluate(Rule(pinned=PinnedBaseline(RATE, 0.95)), outcomes(rate(30, 50)))
    assert (finding.verdict, finding.baseline_n) == (TRIGGERED, None)


def test_a_decreed_mean_serves_the_plain_rule_alone() -> None:
    decreed = PinnedBaseline(VALUE, 500.0)
    assert evaluate(Rule(THRESHOLD, pinned=decreed), amounts([300.0] * 50)).verdict == TRIGGERED
    with pytest.raises(InvalidArgument, match="a sample of values"):
        Rule(CONFIRMED, pinned=decreed)


def test_events_of_the_other_kind_do_not_answer_a_pinned_baseline() -> None:
    rule = Rule(pinned=PinnedBaseline(RATE, 0.95, 1000))
    assert evaluate(rule, amounts(normal(100, 20, 300))).verdict == INSUFFICIENT_DATA


def test_a_pinned_baseline_asks_for_fewer_events() -> None:
    pinned = PinnedBaseline(RATE, 0.95, 1000)
    assert events_needed(Rule(pinned=pinned)) == 400
    assert events_needed(Rule(THRESHOLD, pinned=pinned)) == 50


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [RATE, VALUE])
def test_a_frozen_baseline_goes_on_where_the_trip_was_measured(mode: str, kind: str) -> None:
    before = outcomes(WELL) if kind == RATE else amounts(normal(100, 20, 1400))
    after = outcomes([False] * 50) if kind == RATE else amounts(normal(20, 20, 50))
    moved = [
        event._replace(id=event.id + 1400, created_at=event.created_at + 1400 * MINUTE) for event in after
    ]
    trip = evaluate(Rule(mode), [*before, *moved])
    assert trip.verdict == TRIGGERED
    assert trip.measured_against is not None
    stored = json.loads(json.dumps(trip.measured_against.as_json()))
    frozen = Rule(mode, pinned=PinnedBaseline.from_json(stored))
    later = evaluate(frozen, moved)
    assert (later.verdict, later.baseline) == (TRIGGERED, trip.measured_against.level)
    assert evaluate(frozen, before).verdict == OK


def test_a_pin_keeps_at_most_a_thousand_values_evenly_by_rank() -> None:
    pinned = pin(amounts(map(float, range(5000))))
    assert (pinned.n, len(pinned.sample)) == (5000, 1000)
    assert pinned.sample[:2] == (2.0, 7.0)
    assert pinned.level == pytest.approx(2499.5)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=8, max_size=100))
def test_a_pinned_rate_survives_storage(successes: list[bool]) -> None:
    pinned = pin(outcomes(successes))
    assert PinnedBaseline.from_json(json.loads(json.dumps(pinned.as_json()))) == pinned


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=8, max_size=100))
def test_a_pinned_mean_survives_storage(values: list[float]) -> None:
    pinned = pin(amounts(values))
    assert PinnedBaseline.from_json(json.loads(json.dumps(pinned.as_json()))) == pinned


@pytest.mark.parametrize(
    ("stored", "field"),
    [
        (None, "pinned"),
        ({"kind": RATE, "level": 0.5, "deviation": 1}, "pinned"),
        ({"level": 0.5}, "pinned.kind"),
        ({"kind": RATE}, "pinned.level"),
        ({"kind": RATE, "level": 1.5}, "pinned.level"),
        ({"kind": VALUE, "level": float("inf")}, "pinned.level"),
        ({"kind": RATE, "level": "0.5"}, "pinned.level"),
        ({"kind": RATE, "level": 0.5, "n": 0}, "pinned.n"),
        ({"kind": RATE, "level": 1.0}, "pinned.n"),
        ({"kind": RATE, "level": 0.5, "n": 9, "sample": [1.0] * 9}, "pinned.sample"),
        ({"kind": VALUE, "level": 0.5, "sample": [1.0] * 7}, "pinned.sample"),
        ({"kind": VALUE, "level": 0.5, "sample": ["1"] * 9}, "pinned.sample"),
        ({"kind": VALUE, "level": 0.5, "sample": "123456789"}, "pinned.sample"),
    ],
)
def test_a_baseline_that_cannot_be_names_its_field(stored: object, field: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        PinnedBaseline.from_json(stored)
    assert raised.value.field == field


def test_too_few_events_make_no_baseline() -> None:
    with pytest.raises(InvalidArgument):
        pin(outcomes([True] * 7))


def weeks_of(points_lost: int, a_week: int = 500) -> list[bool]:
    """Return a stream that was at 95 % and then lost a point a week."""
    return [
        *rate(950, 1000),
        *(flag for week in range(points_lost) for flag in rate(a_week * (94 - week) // 100, a_week)),
    ]


def test_a_point_lost_a_week_is_seen_against_a_pinned_baseline_and_not_by_a_rolling_one() -> None:
    stream = outcomes(weeks_of(30))
    pinned = pin(stream[:1000])
    for rule, trips in ((Rule(), False), (Rule(THRESHOLD), False), (Rule(pinned=pinned), True)):
        verdicts = [
            evaluate(rule, stream[max(0, end - 1400) : end]).verdict
            for end in range(1400, len(stream) + 1, 50)
        ]
        assert (TRIGGERED in verdicts) == trips


LAST = START + 299 * MINUTE


@pytest.mark.parametrize(("minutes", "verdict"), [(20, OK), (21, BLIND)])
def test_a_silence_of_more_than_20_median_gaps_is_blind(minutes: int, verdict: str) -> None:
    finding = evaluate(Rule(), outcomes([True] * 300), now=LAST + minutes * MINUTE)
    assert (finding.verdict, finding.silence_s, finding.blind_after_s) == (verdict, minutes * 60, 1200)


def test_a_policy_may_say_after_how_long_it_is_blind() -> None:
    now = LAST + 3 * MINUTE
    assert evaluate(Rule(blind_after_s=179), outcomes([True] * 300), now=now).verdict == BLIND
    assert evaluate(Rule(blind_after_s=181), outcomes([True] * 300), now=now).verdict == OK


def test_a_policy_that_says_so_is_blind_without_a_baseline_and_without_an_event() -> None:
    rule = Rule(blind_after_s=60)
    assert evaluate(rule, outcomes([True] * 9), now=LAST).verdict == BLIND
    assert evaluate(rule, [], now=LAST, up_since=LAST - MINUTE * 2).verdict == BLIND
    assert evaluate(rule, [], now=LAST).verdict == INSUFFICIENT_DATA


def test_only_silence_while_the_service_was_up_counts() -> None:
    now = LAST + dt.timedelta(days=1)
    stream = outcomes([True] * 300)
    assert evaluate(Rule(), stream, now=now, up_since=now - 10 * MINUTE).verdict == OK
    assert evaluate(Rule(), stream, now=now, up_since=START).verdict == BLIND


def test_nobody_is_blind_who_does_not_ask_for_the_time() -> None:
    finding = evaluate(Rule(), outcomes([True] * 300))
    assert (finding.verdict, finding.silence_s) == (OK, None)


def test_a_trip_outranks_blindness() -> None:
    finding = evaluate(Rule(), outcomes(WELL + [False] * 50), now=START + dt.timedelta(days=9))
    assert finding.verdict == TRIGGERED


def test_an_event_from_the_future_is_no_silence() -> None:
    assert evaluate(Rule(), outcomes([True] * 300), now=START).silence_s == 0


def test_a_cancelled_event_is_a_sign_of_life() -> None:
    cancelled = Observation(10**9, LAST + 25 * MINUTE)
    assert evaluate(Rule(), [*outcomes([True] * 300), cancelled], now=LAST + 30 * MINUTE).verdict == OK


def test_nights_the_events_have_been_through_are_no_blindness() -> None:
    day = [START + dt.timedelta(days=n // 100, minutes=n % 100) for n in range(300)]
    stream = [Observation(n, moment, True) for n, moment in enumerate(day)]
    assert evaluate(Rule(), stream, now=day[-1] + dt.timedelta(hours=20)).verdict == OK
    assert evaluate(Rule(), stream, now=day[-1] + dt.timedelta(hours=26)).verdict == BLIND


def test_events_that_come_in_batches_are_no_blindness() -> None:
    stream = [Observation(n, START + n // 100 * 60 * MINUTE, True) for n in range(300)]
    assert evaluate(Rule(), stream, now=START + 180 * MINUTE).verdict == OK


def test_events_of_one_moment_have_no_rhythm() -> None:
    stream = [Observation(n, START, True) for n in range(300)]
    finding = evaluate(Rule(), stream, now=START + dt.timedelta(days=9))
    assert (finding.verdict, finding.blind_after_s) == (OK, None)
