"""Streams of values under both modes."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.tripwire import (
    CONFIRMED,
    MODES,
    OK,
    SUSPECT,
    THRESHOLD,
    TRIGGERED,
    VALUE,
    Rule,
    evaluate,
)
from golive.tripwire.guarded import guarded, mean, standard_error
from tests.support.streams import amounts, normal, outcomes, rate, shuffled

HUGE = 1.7e308


@pytest.mark.parametrize("mode", MODES)
def test_a_return_that_turns_from_gain_to_loss_trips(mode: str) -> None:
    finding = evaluate(Rule(mode, max_drop_fraction=0.3), amounts([500.0] * 200 + [-300.0] * 50))
    assert (finding.verdict, finding.kind, finding.current) == (TRIGGERED, VALUE, -300)
    assert finding.drop_fraction is not None
    assert finding.drop_fraction >= 1.6
    assert finding.strongest_window == 50
    assert finding.measured_against is not None
    assert finding.measured_against.level == 500


def test_a_turn_to_loss_is_confirmed_after_eight_events() -> None:
    stream = normal(500, 200, 1000)
    verdicts = [evaluate(Rule(), amounts(stream + [-300.0] * n)).verdict for n in range(9)]
    assert verdicts[0] == OK
    assert verdicts[8] == TRIGGERED


@pytest.mark.parametrize("mode", MODES)
def test_a_negative_baseline_that_falls_further_trips(mode: str) -> None:
    finding = evaluate(Rule(mode), amounts(normal(-100, 5, 242) + normal(-150, 5, 8)))
    assert (finding.verdict == TRIGGERED) == (mode == CONFIRMED)
    finding = evaluate(Rule(mode), amounts(normal(-100, 5, 200) + normal(-150, 5, 50)))
    assert finding.verdict == TRIGGERED
    assert finding.drop_fraction is not None
    assert finding.drop_fraction > 0.3


@pytest.mark.parametrize("mode", MODES)
def test_a_negative_baseline_that_recovers_does_not_trip(mode: str) -> None:
    finding = evaluate(Rule(mode), amounts(normal(-100, 5, 200) + normal(150, 5, 50)))
    assert finding.verdict == OK
    assert finding.drop_fraction is not None
    assert finding.drop_fraction < -2


@pytest.mark.parametrize("mode", MODES)
def test_from_a_baseline_of_zero_only_a_loss_trips(mode: str) -> None:
    for after, verdict in ((-1.0, TRIGGERED), (0.0, OK), (1.0, OK)):
        rule = Rule(mode, window_events=8, baseline_events=242)
        finding = evaluate(rule, amounts([0.0] * 242 + [after] * 8))
        assert finding.verdict == verdict
        assert finding.drop_fraction is finding.detectable_drop is None


def test_a_baseline_that_cannot_be_told_from_zero_has_no_drop() -> None:
    """A mean of 1 with a standard error of 3 would make any window a drop of several hundred percent."""
    around_zero = [sign * size for size in range(1, 501) for sign in (1.0, -1.0)]
    finding = evaluate(Rule(), amounts(around_zero + normal(0, 250, 50)))
    assert (finding.verdict, finding.drop_fraction) == (OK, None)
    finding = evaluate(Rule(), amounts(around_zero + normal(-600, 100, 8)))
    assert (finding.verdict, finding.drop_fraction) == (TRIGGERED, None)
    assert "cannot be told from zero" in finding.explanation


def test_a_drop_beyond_measure_is_still_said_in_a_sentence() -> None:
    finding = evaluate(Rule(THRESHOLD), amounts([1e-300] * 200 + [-1e300] * 50))
    assert finding.verdict == TRIGGERED
    assert "a drop of more than 10,000%" in finding.explanation


@pytest.mark.parametrize("outlier", [-1e9, 1e9, -HUGE, HUGE])
@pytest.mark.parametrize("place", [3, 500, 995, 1003, 1007])
def test_one_outlier_does_not_trip_confirmed_mode(outlier: float, place: int) -> None:
    stream = normal(100, 20, 1010)
    stream[place] = outlier
    assert evaluate(Rule(), amounts(stream)).verdict in (OK, SUSPECT)


@pytest.mark.parametrize("outlier", [-1e9, 1e9, -HUGE, HUGE])
@pytest.mark.parametrize("place", [3, 500, 995, 1003, 1030, 1049])
def test_one_outlier_does_not_hide_a_drop_in_confirmed_mode(outlier: float, place: int) -> None:
    stream = normal(100, 20, 1000) + normal(60, 20, 50, seed=2)
    stream[place] = outlier
    finding = evaluate(Rule(), amounts(stream))
    assert finding.verdict == TRIGGERED
    assert finding.baseline == pytest.approx(100, abs=3)


def test_few_rare_lows_among_equal_values_are_not_evidence() -> None:
    """Four zeros in eight happen by chance, once in some thousand windows at one zero in twenty."""
    stream = [0.0 if place % 20 == 0 else 100.0 for place in range(1000)]
    finding = evaluate(Rule(), amounts([*stream, 100.0, 0.0, 100.0, 0.0, 100.0, 0.0, 100.0, 0.0]))
    assert finding.verdict in (OK, SUSPECT)


def test_equal_values_that_fall_are_evidence() -> None:
    stream = [0.0 if place % 20 == 0 else 100.0 for place in range(1000)]
    assert evaluate(Rule(), amounts([*stream, *[0.0] * 20])).verdict == TRIGGERED


@pytest.mark.parametrize("value", [5.0, 0.0, -3.0, HUGE, -HUGE, 5e-324])
@pytest.mark.parametrize("mode", MODES)
def test_a_stream_that_never_changes_is_ok(mode: str, value: float) -> None:
    finding = evaluate(Rule(mode), amounts([value] * 300))
    assert finding.verdict == OK or (value < 0 and finding.drop_fraction == 0)
    json.dumps(finding.as_json(), allow_nan=False)


@pytest.mark.parametrize("mode", MODES)
def test_values_that_are_no_numbers_are_left_out(mode: str) -> None:
    stream = amounts(normal(100, 10, 260))
    broken = [*stream[:-3], *(event._replace(value=math.nan) for event in stream[-3:])]
    assert evaluate(Rule(mode), broken)[:14] == evaluate(Rule(mode), stream[:-3])[:14]


def test_a_stream_is_judged_by_what_most_of_its_events_carry() -> None:
    values = amounts(normal(100, 10, 300))
    flags = [event._replace(id=event.id + 1000) for event in outcomes(rate(90, 100))]
    finding = evaluate(Rule(THRESHOLD), [*values, *flags])
    assert (finding.kind, finding.counted) == (VALUE, 250)


def test_the_lowest_values_are_named_as_failing_the_lowest_first() -> None:
    finding = evaluate(Rule(THRESHOLD), amounts([100.0] * 200 + [90.0] * 48 + [-50.0, -20.0]))
    assert finding.failures == 50
    assert [event.id for event in finding.failing[:2]] == [249, 250]


@pytest.mark.parametrize(
    ("stream", "low", "high"),
    [
        (normal(100, 30, 1400), 0.05, 0.12),  # 4.8 standard errors of 1.8
        ([math.exp(x) for x in normal(0, 1, 1400)], 0.2, 0.35),  # a shift of 0.29 in the logarithm
        (normal(10, 100, 1400), 2.0, 8.0),
    ],
    ids=["normal", "lognormal", "noisy"],
)
def test_the_finding_says_which_drop_could_be_seen(stream: list[float], low: float, high: float) -> None:
    seen = evaluate(Rule(), amounts(stream)).detectable_drop
    assert seen is not None
    assert low < seen < high


moderate = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
values = st.lists(moderate, min_size=60, max_size=300)
rules = st.builds(
    Rule,
    mode=st.sampled_from(MODES),
    window_events=st.integers(8, 40),
    baseline_events=st.integers(8, 40),
    min_events_to_enforce=st.just(0),
)


@settings(max_examples=60, deadline=None)
@given(values, rules, st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_unit_of_the_values_does_not_matter(stream: list[float], rule: Rule, factor: float) -> None:
    one = evaluate(rule, amounts(stream))
    other = evaluate(rule, amounts([value * factor for value in stream]))
    assert (other.verdict, other.drop_fraction, other.evidence) == (
        one.verdict,
        one.drop_fraction,
        one.evidence,
    )


@settings(max_examples=60, deadline=None)
@given(values, rules, st.integers(0, 9))
def test_the_order_in_which_values_are_given_does_not_matter(
    stream: list[float], rule: Rule, seed: int
) -> None:
    events = amounts(stream)
    assert evaluate(rule, shuffled([*events, *events[:20]], seed)) == evaluate(rule, events)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=20, max_size=200), rules)
def test_any_doubles_have_a_finding_that_is_json(stream: list[float], rule: Rule) -> None:
    json.dumps(evaluate(rule, amounts(stream)).as_json(), allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.floats(-HUGE, HUGE), min_size=2, max_size=50).map(sorted))
def test_means_stay_within_what_they_are_taken_from(ascending: list[float]) -> None:
    # summing shares of numbers near the largest double rounds each
    assert (
        ascending[0] - abs(ascending[0]) * 1e-9
        <= mean(ascending)
        <= ascending[-1] + abs(ascending[-1]) * 1e-9
    )
    assert mean(guarded(ascending)) == mean(guarded(guarded(ascending)))
    assert math.isfinite(standard_error(ascending))


def test_confirmed_is_the_default() -> None:
    assert Rule().mode == CONFIRMED
