"""A backtest trips where evaluations after every event would have, with re-arms between."""

import datetime as dt
import random
import time
from dataclasses import replace

import pytest

from golive.errors import InvalidArgument
from golive.regression import backtest as module
from golive.regression.backtest import backtest
from golive.tripwire import TRIGGERED, Observation, Rule, evaluate
from tests.support.streams import MINUTE, START, amounts, outcomes, shuffled

RULES = [
    Rule(mode="threshold"),
    Rule(mode="threshold", window_events=20, baseline_events=40, min_events_to_enforce=10),
    Rule(),
    Rule(max_drop_fraction=0.4, window_events=30, false_trips=0.05),
]


def one_by_one(rule: Rule, events: list[Observation]) -> list[int]:
    """Evaluate after every event, and re-arm at once, by the words of the documents."""
    found, begin, frozen = [], 0, None
    for end in range(1, len(events) + 1):
        since = events[begin:end]
        probation = frozen is not None and len(since) < rule.window_events + rule.baseline_events
        finding = evaluate(replace(rule, pinned=frozen) if probation else rule, since)
        if finding.verdict == TRIGGERED:
            found.append(end)
            begin, frozen = end, finding.measured_against
    return found


@pytest.mark.parametrize("rule", RULES)
def test_it_trips_where_evaluations_after_every_event_would(
    rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 500)
    draw = random.Random(3)
    levels = [0.9] * 900 + [0.4] * 500 + [0.8] * 700 + [0.1] * 300
    events = outcomes(draw.random() < level for level in levels)
    expected = one_by_one(rule, events)
    assert expected
    assert [trip.event for trip in backtest(rule, shuffled(events)).trips] == expected


def test_values_are_judged_every_so_many_events_and_it_says_so() -> None:
    draw = random.Random(4)
    events = amounts(draw.gauss(100 if number < 3000 else 40, 10) for number in range(4000))
    found = backtest(Rule(), events, change=START + 3000 * MINUTE)
    assert (found.kind, found.every, found.quiet_events, found.quiet_trips) == ("value", 2, 3000, 0)
    assert found.events_to_trip is not None
    assert found.events_to_trip <= 20
    assert found.seconds_to_trip == (found.events_to_trip - 1) * 60


def test_a_change_parts_false_trips_from_the_answer() -> None:
    events = outcomes([True] * 300 + [False] * 60 + [True] * 2000 + [False] * 200)
    found = backtest(Rule(mode="threshold"), events, change=START + 2360 * MINUTE)
    assert found.quiet_trips >= 1
    assert found.quiet_trips_per_10000 == pytest.approx(10_000 * found.quiet_trips / 2360)
    assert found.events_to_trip == 11  # more than 20 % of fifty
    record = found.as_json()
    assert record["trips"][0]["finding"]["verdict"] == TRIGGERED
    whole = backtest(Rule(mode="threshold"), events)
    assert (whole.quiet_events, whole.quiet_trips, whole.seconds_to_trip) == (2560, len(whole.trips), None)


def test_a_stream_of_nothing_trips_nothing() -> None:
    for events in ([], outcomes([None] * 500), outcomes([True] * 100)):
        assert backtest(Rule(), events).trips == []
    with pytest.raises(InvalidArgument, match="every"):
        backtest(Rule(), [], every=0)


def test_a_quarter_of_a_million_rates_need_no_evaluation_of_their_own() -> None:
    draw = random.Random(1)
    events = outcomes(draw.random() < 0.9 for _ in range(20_000))
    found = backtest(Rule(), events)
    assert (found.every, found.trips) == (1, [])
    assert found.last_at == START + dt.timedelta(minutes=19_999)


def test_a_backtest_gives_up_at_its_deadline() -> None:
    events = outcomes([True, False] * 1000)
    with pytest.raises(InvalidArgument, match="fewer evaluations"):
        backtest(Rule(), events, deadline=time.monotonic())
