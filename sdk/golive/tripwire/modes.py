"""The rule's mode, looked up in one place."""

from collections.abc import Sequence

from golive.tripwire import confirmed, threshold
from golive.tripwire.comparison import Judgement, Stream
from golive.tripwire.observations import RATE, Observation
from golive.tripwire.rates import Rates
from golive.tripwire.rule import CONFIRMED, Rule
from golive.tripwire.values import Values


def judge(rule: Rule, stream: Stream) -> Judgement:
    """Return the verdict on a stream of enough events."""
    return confirmed.judge(rule, stream) if rule.mode == CONFIRMED else threshold.judge(rule, stream)


def events_for_a_verdict(rule: Rule) -> int:
    """Return how many events are enough."""
    confirms = rule.mode == CONFIRMED
    least = confirmed.events_for_a_verdict(rule) if confirms else threshold.events_for_a_verdict(rule)
    return max(least, rule.min_events_to_enforce)


def stream_of(rule: Rule, kind: str, events: Sequence[Observation]) -> Stream:
    """Return events of one kind, from the oldest to the newest, ready to be compared."""
    return Rates(events, rule.pinned) if kind == RATE else Values(events, rule.pinned)
