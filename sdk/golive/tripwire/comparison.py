"""A window beside its baseline, and by which share it fell."""

import sys
from typing import NamedTuple, Protocol

from golive.tripwire.observations import Observation
from golive.tripwire.pinned import PinnedBaseline


class Comparison(NamedTuple):
    """The newest events against those before them, or against a pinned baseline.

    Attributes:
        window: How many events the window has.
        before: How many events just before it the baseline has; 0 for a pinned one.
        baseline: Success rate or mean.
        current: The same of the window.
        drop: Relative drop; None where the baseline is no measure for one.
        below_zero: Where it is none: whether the window is clearly below zero.
        evidence: Log-likelihood ratio for "the window is worse", where it was asked for.
    """

    window: int
    before: int
    baseline: float
    current: float
    drop: float | None
    below_zero: bool = False
    evidence: float = 0.0


class Judgement(NamedTuple):
    """A verdict, the comparison it is reported with, and the one with the most evidence for it."""

    verdict: str
    reported: Comparison
    strongest: Comparison


class Stream(Protocol):
    """Events of one kind, ready to be compared."""

    kind: str

    def __len__(self) -> int: ...

    def plain(self, window: int, before: int) -> Comparison:
        """Compare success rates or means, without evidence."""
        ...

    def guarded(self, window: int, before: int) -> Comparison:
        """Compare them so that no single value decides."""
        ...

    def evidence(self, window: int, before: int) -> float:
        """Return the log-likelihood ratio for "the window is worse"; 0 where it is not."""
        ...

    def detectable_drop(self, comparison: Comparison, window: int, needed: float) -> float | None:
        """Return the smallest drop from this baseline of which `window` events give the evidence needed."""
        ...

    def failing(self, comparison: Comparison) -> list[Observation]:
        """Return the events of the window that speak for the drop, the most telling first."""
        ...

    def measured_against(self, comparison: Comparison) -> PinnedBaseline:
        """Return the baseline, to be kept."""
        ...


def relative_drop(baseline: float, current: float) -> float | None:
    """Return (baseline - current) / |baseline|, and None for a baseline of zero."""
    if baseline == 0:
        return None
    side = 1.0 if baseline > 0 else -1.0
    largest = sys.float_info.max  # a mean close to zero must not make an infinity, which JSON has not
    return min(max(side - current / abs(baseline), -largest), largest)


def smallest_that(enough: "Probe", low: float, high: float) -> float | None:
    """Return by bisection where `enough` turns true between `low` and `high`; None where it does not."""
    if not enough(high):
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


class Probe(Protocol):
    """A question that is false up to some number, and true from there on."""

    def __call__(self, number: float, /) -> bool: ...
