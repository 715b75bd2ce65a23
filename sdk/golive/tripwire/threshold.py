"""`threshold` mode, the plain rule: the newest events against those before, and too large a drop trips."""

from golive.tripwire.comparison import Judgement, Stream
from golive.tripwire.finding import OK, TRIGGERED
from golive.tripwire.rule import Rule

_ROUNDING = 1e-9
"""A drop of exactly `max_drop_fraction` must not trip because 0.95 has no exact double."""


def events_for_a_verdict(rule: Rule) -> int:
    """Return with how many events there is a verdict."""
    return rule.window_events + (0 if rule.pinned else rule.baseline_events)


def judge(rule: Rule, stream: Stream) -> Judgement:
    """Return the verdict, and the comparison it rests on.

    A drop above `max_drop_fraction` trips; one of exactly so much is borne. From a mean of exactly zero, any
    mean below zero is a drop without measure, and trips.
    """
    made = stream.plain(rule.window_events, 0 if rule.pinned else rule.baseline_events)
    trips = made.below_zero if made.drop is None else made.drop > rule.max_drop_fraction + _ROUNDING
    return Judgement(TRIGGERED if trips else OK, made, made)
