"""What a rule would have said all along."""

from collections.abc import Iterable, Iterator

from golive.tripwire import modes
from golive.tripwire.observations import RATE, Observation, carries, in_order, kind_of
from golive.tripwire.rates import Rates
from golive.tripwire.rule import Rule, events_needed
from golive.tripwire.values import Values


def replay(
    rule: Rule, observations: Iterable[Observation], *, every: int = 1
) -> Iterator[tuple[Observation, str]]:
    """Yield the verdicts of an evaluation after every so many events, from when there are enough of them.

    They are those of `evaluate` on the events up to there, blindness aside, for a stream that is of one kind
    throughout; `evaluate` itself, where one trips, has the evidence.

    Args:
        rule: The rule.
        observations: All events of the stream, in any order.
        every: After how many further events it is judged again.
    """
    ordered = in_order(observations)
    kind = kind_of(ordered, len(ordered)) if rule.pinned is None else rule.pinned.kind
    events = [event for event in ordered if carries(event, kind)]
    rates = Rates(events, rule.pinned) if kind == RATE else None
    needed = events_needed(rule)
    for end in range(modes.events_for_a_verdict(rule), len(events) + 1, every):
        stream = rates.until(end) if rates else Values(events[max(0, end - needed) : end], rule.pinned)
        yield events[end - 1], modes.judge(rule, stream).verdict
