"""What a rule would have said all along is what it says."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.tripwire import MODES, RATE, TRIGGERED, Observation, PinnedBaseline, Rule, evaluate, pin, replay
from tests.support.streams import amounts, normal, outcomes, rate, shuffled

rules = st.builds(
    Rule,
    mode=st.sampled_from(MODES),
    window_events=st.integers(8, 60),
    baseline_events=st.integers(8, 100),
    pinned=st.sampled_from([None, PinnedBaseline(RATE, 0.8, 500)]),
)


def one_by_one(rule: Rule, events: list[Observation]) -> list[str]:
    """Return the verdicts of an evaluation after every event."""
    return [evaluate(rule, events[: end + 1]).verdict for end in range(len(events))]


@settings(max_examples=15, deadline=None)
@given(rules, st.integers(0, 2**32))
def test_a_replay_has_the_verdicts_of_an_evaluation_after_every_event(rule: Rule, seed: int) -> None:
    chance = random.Random(seed)
    p = chance.random()
    events = outcomes(
        [chance.random() < p for _ in range(130)] + [chance.random() < p / 3 for _ in range(30)]
    )
    replayed = [verdict for _, verdict in replay(rule, shuffled(events, seed))]
    assert replayed == one_by_one(rule, events)[-len(replayed) :]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pinned", [None, pin(amounts(normal(100, 20, 300)))])
def test_a_replay_of_values_as_well(mode: str, pinned: PinnedBaseline | None) -> None:
    rule = Rule(mode, baseline_events=100, pinned=pinned)
    events = amounts(normal(100, 20, 200) + normal(60, 20, 50))
    replayed = [verdict for _, verdict in replay(rule, events)]
    assert replayed == one_by_one(rule, events)[-len(replayed) :]


def test_a_replay_says_at_which_event_it_would_have_tripped() -> None:
    events = outcomes(rate(1425, 1500) + [False] * 20)
    tripped = [event.id for event, verdict in replay(Rule(), events) if verdict == TRIGGERED]
    assert 1501 < tripped[0] <= 1507
    assert tripped[-1] == 1520


def test_a_replay_may_judge_more_seldom() -> None:
    judged = [event.id for event, _ in replay(Rule(), outcomes([True] * 308), every=50)]
    assert judged == [208, 258, 308]


def test_too_few_events_have_no_verdict_to_replay() -> None:
    assert list(replay(Rule(), outcomes([True] * 207))) == []
