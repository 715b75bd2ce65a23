"""Success rates under both modes."""

import dataclasses
import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive import tripwire
from golive.errors import InvalidArgument
from golive.tripwire import (
    CONFIRMED,
    INSUFFICIENT_DATA,
    MODES,
    OK,
    RATE,
    SUSPECT,
    THRESHOLD,
    TRIGGERED,
    VALUE,
    Observation,
    PinnedBaseline,
    Rule,
    evaluate,
    events_needed,
    evidence_needed,
)
from golive.tripwire.rates import evidence
from tests.support.streams import MINUTE, START, outcomes, rate, shuffled

GOOD = rate(190, 200)
"""95 %, evenly spread."""

flags = st.lists(st.sampled_from([True, True, True, False]), max_size=600)
rules = st.builds(
    Rule,
    mode=st.sampled_from(MODES),
    window_events=st.integers(8, 400),
    baseline_events=st.integers(8, 400),
    max_drop_fraction=st.floats(0.05, 0.9),
)


def test_the_public_names_are_there() -> None:
    assert [name for name in tripwire.__all__ if not hasattr(tripwire, name)] == []


def test_the_seeds_example_trips_the_plain_rule() -> None:
    """95 % over 200, then as near to 75 % as 50 events come: 37 of them."""
    finding = evaluate(Rule(THRESHOLD), outcomes(GOOD + rate(37, 50)))
    assert (finding.verdict, finding.baseline, finding.current) == (TRIGGERED, 0.95, 0.74)
    assert finding.drop_fraction == pytest.approx(0.221, abs=1e-3)


def test_75_percent_after_95_is_a_drop_of_21_percent() -> None:
    finding = evaluate(Rule(THRESHOLD, window_events=40), outcomes(GOOD + rate(30, 40)))
    assert finding.verdict == TRIGGERED
    assert finding.drop_fraction == pytest.approx(0.2105, abs=1e-4)
    assert finding.explanation.startswith(
        "success rate 95.0% before, 75.0% over the last 40: a drop of 21.1%"
    )


def test_a_drop_of_exactly_the_most_there_may_be_does_not_trip_the_plain_rule() -> None:
    assert evaluate(Rule(THRESHOLD), outcomes(GOOD + rate(38, 50))).verdict == OK  # 0.95 → 0.76


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [0, 1, 49, 207, 249])
def test_too_few_events_are_never_ok(mode: str, n: int) -> None:
    rule = Rule(mode, min_events_to_enforce=250)
    assert evaluate(rule, outcomes([True] * n)).verdict == INSUFFICIENT_DATA
    assert evaluate(Rule(THRESHOLD), outcomes([True] * n)).verdict == INSUFFICIENT_DATA


def test_confirmed_mode_has_a_verdict_from_the_baseline_and_eight_events_on() -> None:
    assert evaluate(Rule(CONFIRMED), outcomes([True] * 207)).verdict == INSUFFICIENT_DATA
    assert evaluate(Rule(CONFIRMED), outcomes([True] * 208)).verdict == OK


def test_more_events_may_be_asked_for_than_the_windows_hold() -> None:
    rule = Rule(THRESHOLD, window_events=10, baseline_events=20, min_events_to_enforce=50)
    assert events_needed(rule) == 50
    assert evaluate(rule, outcomes([True] * 49)).verdict == INSUFFICIENT_DATA
    assert evaluate(rule, outcomes([True] * 50)).verdict == OK


def test_a_collapse_is_confirmed_after_a_handful_of_events() -> None:
    stream = rate(1425, 1500)
    verdicts = [evaluate(Rule(), outcomes(stream + [False] * n)).verdict for n in range(12)]
    assert verdicts[0] == OK
    assert verdicts.index(TRIGGERED) <= 7


def test_the_smallest_window_that_trips_is_reported() -> None:
    finding = evaluate(Rule(), outcomes(rate(1140, 1200) + [False] * 100))
    assert finding.window is not None
    assert (finding.window.n, finding.window.first_id, finding.window.last_id) == (8, 1293, 1300)


def test_the_baseline_kept_is_the_one_before_the_window_with_the_most_evidence() -> None:
    """A trip found late must not freeze a baseline that half of the fall is in."""
    finding = evaluate(Rule(), outcomes(rate(1140, 1200) + [False] * 100))
    assert finding.strongest_window == 100
    assert finding.measured_against == PinnedBaseline(RATE, 0.95, 1000)
    assert finding.baseline == 0.863


def test_a_large_drop_without_enough_evidence_is_suspect() -> None:
    finding = evaluate(Rule(), outcomes(GOOD + rate(37, 50)))
    assert finding.verdict == SUSPECT
    assert finding.evidence is not None
    assert finding.evidence_needed is not None
    assert finding.evidence_needed / 2 <= finding.evidence < finding.evidence_needed


def test_the_plain_rule_says_how_little_evidence_it_trips_on() -> None:
    finding = evaluate(Rule(THRESHOLD), outcomes(rate(60, 200) + rate(11, 50)))
    assert (finding.verdict, finding.evidence_needed) == (TRIGGERED, None)
    assert finding.p_value is not None
    assert 0.1 < finding.p_value < 0.3


def test_the_p_value_is_that_of_one_comparison() -> None:
    finding = evaluate(Rule(), outcomes(GOOD + rate(37, 50)))
    assert finding.evidence == pytest.approx(7.81, abs=0.01)
    assert finding.p_value == pytest.approx(3.9e-5, rel=0.02)


def test_much_evidence_for_a_small_drop_is_ok() -> None:
    finding = evaluate(
        Rule(max_drop_fraction=0.2, window_events=400), outcomes([True] * 1000 + rate(340, 400))
    )
    assert finding.verdict == OK
    assert finding.evidence is not None
    assert finding.evidence_needed is not None
    assert finding.evidence > finding.evidence_needed


@pytest.mark.parametrize("kind", [RATE, VALUE])
def test_the_stricter_about_false_trips_the_more_evidence_is_needed(kind: str) -> None:
    lax, usual, strict = (evidence_needed(share, kind, 0.6) for share in (0.05, 0.01, 0.001))
    assert lax < usual < strict


@pytest.mark.parametrize(("baseline", "needed"), [(0, 10.7), (0.4, 10.975), (0.7, 11.5), (0.9, 11), (1, 11)])
def test_how_much_evidence_is_needed_goes_by_the_rate_before(baseline: float, needed: float) -> None:
    assert evidence_needed(0.01, RATE, baseline) == pytest.approx(needed)


@pytest.mark.parametrize("mode", MODES)
def test_a_baseline_without_a_success_cannot_fall(mode: str) -> None:
    finding = evaluate(Rule(mode), outcomes([False] * 300))
    assert (finding.verdict, finding.baseline) == (OK, 0)
    assert finding.drop_fraction is finding.detectable_drop is None


@pytest.mark.parametrize("mode", MODES)
def test_every_verdict_with_a_baseline_says_which_drop_could_be_seen(mode: str) -> None:
    often, seldom, hardly = (
        evaluate(Rule(mode, baseline_events=1000), outcomes(rate(n, 1400))).detectable_drop
        for n in (1330, 420, 20)
    )
    assert often is not None
    assert seldom is not None
    assert 0.05 < often < 0.15
    assert 0.3 < seldom < 0.5
    assert hardly is None  # not even a collapse is evidence enough


def test_the_drop_said_to_be_detectable_trips_and_a_smaller_one_does_not() -> None:
    rule = Rule(max_drop_fraction=0.01)
    before = rate(700, 1000)
    seen = evaluate(rule, outcomes(before + rate(280, 400))).detectable_drop
    assert seen is not None
    for share, verdict in ((1.05, TRIGGERED), (0.9, SUSPECT)):
        after = rate(round(280 * (1 - share * seen)), 400)
        assert evaluate(rule, outcomes(before + after)).verdict == verdict


def test_cancelled_events_count_for_nothing() -> None:
    stream: list[bool | None] = [*GOOD, *rate(37, 50)]
    mixed = [flag for pair in zip(stream, [None] * len(stream), strict=True) for flag in pair]
    finding = evaluate(Rule(THRESHOLD), outcomes(mixed))
    assert (finding.verdict, finding.baseline, finding.current) == (TRIGGERED, 0.95, 0.74)


def test_a_stray_value_among_successes_changes_nothing() -> None:
    stray = Observation(10**9, START + 120 * MINUTE, None, -1e9)
    stream = outcomes(GOOD + rate(37, 50))
    assert evaluate(Rule(THRESHOLD), [*stream, stray])[:10] == evaluate(Rule(THRESHOLD), stream)[:10]


def test_a_success_that_carries_a_value_belongs_to_the_rate() -> None:
    stream = [event._replace(value=1.0) for event in outcomes(GOOD + rate(37, 50))]
    assert evaluate(Rule(THRESHOLD), stream).kind == RATE


def test_a_late_event_takes_the_place_its_time_gives_it() -> None:
    stream = outcomes([True] * 250)
    late = Observation(10**9, START + 249 * MINUTE, False)
    early = late._replace(created_at=START - MINUTE)
    assert evaluate(Rule(THRESHOLD), [*stream, late]).failures == 1
    assert evaluate(Rule(THRESHOLD), [*stream, early]).failures == 0


def test_the_finding_names_the_failing_events_the_newest_first() -> None:
    finding = evaluate(Rule(THRESHOLD), outcomes([True] * 230 + [False] * 20))
    assert finding.failures == 20
    assert [event.id for event in finding.failing] == list(range(250, 230, -1))
    assert finding.failing[0].trace_id == "trace250"


def test_at_most_50_failing_events_are_named() -> None:
    finding = evaluate(Rule(THRESHOLD, window_events=100), outcomes([True] * 200 + [False] * 100))
    assert (finding.failures, len(finding.failing)) == (100, 50)


@pytest.mark.parametrize("mode", MODES)
def test_the_evidence_record_is_json_and_names_both_windows(mode: str) -> None:
    record = evaluate(Rule(mode), outcomes(GOOD + [False] * 50)).as_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == json.loads(json.dumps(record))
    window, baseline = record["window"], record["baseline_span"]
    assert window["last_id"] == 250
    assert baseline["last_id"] == window["first_id"] - 1
    assert window["last_at"] == (START + 249 * MINUTE).isoformat()


def test_the_evidence_is_the_likelihood_ratio_with_half_a_success_credited() -> None:
    # 20 of 50 against 180 of 200, with the window at 20.5: from the four logarithms by hand
    assert evidence(0.4, 50, 0.9, 200) == pytest.approx(25.54, abs=0.01)
    assert evidence(0.9, 50, 0.9, 200) == evidence(0.95, 50, 0.9, 200) == 0
    assert evidence(0.4, 50, 0.9, None) > evidence(0.4, 50, 0.9, 10**6) > evidence(0.4, 50, 0.9, 200)


def test_rates_that_are_equal_but_for_the_last_bit_give_no_evidence_and_no_error() -> None:
    for window in (8, 12, 28, 50):
        for before in (window, 2 * window, 7 * window):
            for good in range(window):
                credited = (good + 0.5) / window
                assert 0 <= evidence(good / window, window, credited + 1e-16, before) < 1e-9
    events = outcomes([False] * 51 + [True] * 5 + [False] * 26 + [True] * 2)  # 5 of 56, then 2.5 of 28
    assert tripwire.evaluate(Rule(window_events=28, baseline_events=8), events).evidence == 0


@settings(deadline=None)
@given(flags, rules, st.integers(0, 9))
def test_the_order_and_the_number_of_times_events_are_given_do_not_matter(
    successes: list[bool], rule: Rule, seed: int
) -> None:
    stream = outcomes(successes)
    assert evaluate(rule, [*shuffled(stream, seed), *stream[:50]]) == evaluate(rule, stream)


@settings(deadline=None)
@given(flags, rules)
def test_more_events_than_needed_change_nothing(successes: list[bool], rule: Rule) -> None:
    stream = outcomes(successes)
    assert evaluate(rule, stream[-events_needed(rule) :]) == evaluate(rule, stream)


@settings(deadline=None)
@given(st.integers(0, 1500), rules)
def test_a_stream_of_successes_never_trips(n: int, rule: Rule) -> None:
    assert evaluate(rule, outcomes([True] * n)).verdict in (OK, INSUFFICIENT_DATA)


@settings(deadline=None)
@given(flags, rules)
def test_enough_events_have_a_verdict_and_too_few_have_none(successes: list[bool], rule: Rule) -> None:
    least = rule.baseline_events + (rule.window_events if rule.mode == THRESHOLD else 8)
    verdict = evaluate(rule, outcomes(successes)).verdict
    assert (verdict == INSUFFICIENT_DATA) == (len(successes) < max(least, rule.min_events_to_enforce))


SEVERITY = {OK: 0, SUSPECT: 1, TRIGGERED: 2}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_one_more_failure_in_the_smallest_window_never_calms_a_verdict(
    seed: int, data: st.DataObject
) -> None:
    """In a larger window it may: a failure there is baseline to the smaller ones."""
    chance = random.Random(seed)
    rule = data.draw(rules)
    p, worse = chance.random(), chance.random()
    stream = [chance.random() < p for _ in range(600)] + [chance.random() < p * worse for _ in range(50)]
    before = evaluate(rule, outcomes(stream))
    stream[-1 - data.draw(st.integers(0, 7))] = False
    after = evaluate(rule, outcomes(stream))
    if before.verdict in SEVERITY:
        assert SEVERITY[after.verdict] >= SEVERITY[before.verdict]


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 1000), st.data())
def test_evidence_grows_with_failures_and_is_finite(window: int, before: int, data: st.DataObject) -> None:
    baseline = data.draw(st.integers(0, before)) / before
    found = [evidence(good / window, window, baseline, before) for good in range(window, -1, -1)]
    assert all(0 <= weight < 1e6 for weight in found)
    assert all(one <= next_ + 1e-9 for one, next_ in pairwise(found))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("mode", "sometimes"),
        ("window_events", 7),
        ("window_events", 401),
        ("window_events", 50.0),
        ("window_events", True),
        ("baseline_events", 1001),
        ("min_events_to_enforce", -1),
        ("max_drop_fraction", 0),
        ("max_drop_fraction", float("nan")),
        ("max_drop_fraction", float("inf")),
        ("max_drop_fraction", "0.2"),
        ("false_trips", 0.02),
        ("false_trips", True),
        ("blind_after_s", 0),
        ("pinned", 0.95),
    ],
)
def test_a_rule_that_cannot_be_names_its_field(field: str, wrong: object) -> None:
    with pytest.raises(InvalidArgument) as raised:
        dataclasses.replace(Rule(), **{field: wrong})  # type: ignore[arg-type] # that is the point
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("rule", "needed"), [(Rule(), 1400), (Rule(THRESHOLD), 250), (Rule(THRESHOLD, 10, 20, 0), 30)]
)
def test_how_many_events_are_read_at_most(rule: Rule, needed: int) -> None:
    assert events_needed(rule) == needed
