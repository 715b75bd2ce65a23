"""`confirmed` mode: a drop trips once it is large enough and too unlikely to be chance, in whichever window.

A scan of likelihood ratios over windows of many lengths, after D. Siegmund and E. S. Venkatraman, "Using the
generalized likelihood ratio statistic for sequential detection of a change-point" (1995): short windows see a
collapse after a few events, long ones a small drop, and one bar for all of them keeps false trips to the share
that was asked for.
"""

from collections.abc import Iterator

from golive.tripwire.calibration import (
    LARGEST_BASELINE,
    SCANNED_WINDOWS,
    SMALLEST_WINDOW,
    evidence_needed,
)
from golive.tripwire.comparison import Comparison, Stream
from golive.tripwire.finding import OK, SUSPECT, TRIGGERED
from golive.tripwire.rule import Rule

_ROUNDING = 1e-9


def events_for_a_verdict(rule: Rule) -> int:
    """Return with how many events there is a verdict."""
    return SMALLEST_WINDOW + (0 if rule.pinned else rule.baseline_events)


def judge(rule: Rule, stream: Stream) -> tuple[str, Comparison]:
    """Return the verdict, and what it rests on.

    That is the smallest window that trips, or else the smallest that is suspect, or else the policy's own, or
    the largest there is yet.
    """
    needed = evidence_needed(rule.false_trips)
    suspect: Comparison | None = None
    usual: Comparison | None = None
    for window, before in windows(rule, len(stream)):
        made = stream.weighed(window, before)
        if _large_enough(rule, made):
            if made.evidence >= needed:
                return TRIGGERED, made
            if made.evidence >= needed / 2:
                suspect = suspect or made
        if window <= rule.window_events:
            usual = made
    if suspect is not None:
        return SUSPECT, suspect
    if usual is None:  # `events_for_a_verdict` was not heeded
        raise ValueError("too few events")
    return OK, usual


def windows(rule: Rule, n: int) -> Iterator[tuple[int, int]]:
    """Yield the windows `n` events allow, the smallest first, and how many events before are the baseline."""
    for window in sorted({*SCANNED_WINDOWS, rule.window_events}):
        if rule.pinned:
            if window <= n:
                yield window, 0
        elif n - window >= rule.baseline_events:
            yield window, min(n - window, LARGEST_BASELINE)


def _large_enough(rule: Rule, made: Comparison) -> bool:
    if made.drop is None:
        return made.below_zero
    return made.drop >= rule.max_drop_fraction - _ROUNDING
