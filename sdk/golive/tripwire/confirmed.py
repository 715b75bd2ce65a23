"""`confirmed` mode: a drop trips once it is large enough and too unlikely to be chance, in whichever window.

A scan of likelihood ratios over windows of many lengths, after D. Siegmund and E. S. Venkatraman, "Using the
generalized likelihood ratio statistic for sequential detection of a change-point" (1995): short windows see
a collapse after a few events, long ones a small drop, and one bar for all of them keeps false trips to the
share that was asked for.
"""

from collections.abc import Iterator

from golive.tripwire.calibration import (
    LARGEST_BASELINE,
    SCANNED_WINDOWS,
    SMALLEST_WINDOW,
    evidence_needed,
)
from golive.tripwire.comparison import Comparison, Judgement, Stream
from golive.tripwire.finding import OK, SUSPECT, TRIGGERED
from golive.tripwire.rule import Rule

_ROUNDING = 1e-9
_NOT_WORTH_A_LOOK = 4.0
"""Less than half of any bar."""


def events_for_a_verdict(rule: Rule) -> int:
    """Return with how many events there is a verdict."""
    return SMALLEST_WINDOW + (0 if rule.pinned else rule.baseline_events)


def judge(rule: Rule, stream: Stream) -> Judgement:
    """Return the verdict, and the comparisons it rests on.

    Reported is the smallest window that trips, or else the smallest that is suspect, or else the policy's
    own, or the largest there is yet.
    """
    pairs = list(windows(rule, len(stream)))
    usual = stream.guarded(*[pair for pair in pairs if pair[0] <= rule.window_events][-1])
    telling: list[Comparison] = []
    for window, before in pairs:
        evidence = stream.evidence(window, before)
        if window == usual.window:
            usual = usual._replace(evidence=evidence)
        if evidence > _NOT_WORTH_A_LOOK:
            made = stream.guarded(window, before)._replace(evidence=evidence)
            if _large_enough(rule, made):
                telling.append(made)
    for verdict, share in ((TRIGGERED, 1.0), (SUSPECT, 0.5)):
        enough = [made for made in telling if made.evidence >= share * needed(rule, stream, made)]
        if enough:
            return Judgement(verdict, enough[0], max(enough, key=lambda made: made.evidence))
    return Judgement(OK, usual, usual)


def needed(rule: Rule, stream: Stream, made: Comparison) -> float:
    """Return the evidence a trip from this baseline asks for."""
    return evidence_needed(rule.false_trips, stream.kind, made.baseline)


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
