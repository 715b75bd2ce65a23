"""Values: means for the drop, ranks for the evidence.

Source: B. L. van der Waerden, "Order tests for the two-sample problem" (1952): the values of window and
baseline together are put in order, each takes the quantile of the normal distribution that belongs to its
place, and the two sums are compared. The distribution of the values does not matter, and an outlier counts as
one place.
"""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from golive.tripwire.comparison import Comparison, relative_drop, smallest_that
from golive.tripwire.guarded import guarded, mean, standard_error
from golive.tripwire.observations import VALUE, Observation
from golive.tripwire.pinned import PinnedBaseline, pinned_values

_NORMAL: Final = statistics.NormalDist()
_GRID: Final = 100
"""Of how many quantiles a baseline is taken to consist, where it is asked what could be seen."""


class Values:
    """Events that carry a value alone, from the oldest to the newest."""

    kind = VALUE

    def __init__(self, events: Sequence[Observation], pinned: PinnedBaseline | None) -> None:
        self._events = events
        self._pinned = pinned
        sample = () if pinned is None else pinned.sample
        self._sample = len(sample)
        self._values = [*sample, *(event.value or 0.0 for event in events)]
        # Equal values are put in an order that has nothing to do with their age: where most values are equal,
        # sharing their places would make a few rare ones weigh more than they are rare.
        shuffled = [*map(_scrambled, range(self._sample)), *(_scrambled(event.id) for event in events)]
        places = range(len(self._values))
        self._ascending = sorted(places, key=lambda place: (self._values[place], shuffled[place]))

    def __len__(self) -> int:
        return len(self._events)

    def plain(self, window: int, before: int) -> Comparison:
        """Compare the means of the window and its baseline."""
        start = len(self._values) - window
        current = mean(self._values[start:])
        if self._pinned is not None:
            baseline, before = self._pinned.level, 0
        else:
            baseline = mean(self._values[start - before : start])
        return Comparison(window, before, baseline, current, relative_drop(baseline, current), current < 0)

    def guarded(self, window: int, before: int) -> Comparison:
        """Compare means with the highest and the lowest value counted as their neighbours."""
        start = len(self._values) - window
        now = guarded(sorted(self._values[start:]))
        base = guarded(self._baseline(window, before))
        current = mean(now)
        baseline = mean(base) if self._pinned is None else self._pinned.level
        told = abs(baseline) > standard_error(base)
        return Comparison(
            window,
            before,
            baseline,
            current,
            relative_drop(baseline, current) if told else None,
            current < -standard_error(now),
        )

    def evidence(self, window: int, before: int) -> float:
        """Return the evidence that the window is worse."""
        start = len(self._values) - window
        if self._pinned is None:
            compared = [place for place in self._ascending if place >= start - before]
        else:
            compared = [place for place in self._ascending if place >= start or place < self._sample]
        scores, spread = normal_scores(len(compared))
        total = sum(score for place, score in zip(compared, scores, strict=True) if place >= start)
        z = total * math.sqrt(1 / window + 1 / (len(compared) - window)) / spread
        return z * z / 2 if z < 0 else 0.0

    def detectable_drop(self, comparison: Comparison, window: int, needed: float) -> float | None:
        """Return the smallest drop of which `window` events are expected to give the evidence needed.

        Values that are all positive are taken to shrink in proportion, others to fall by the same amount.
        """
        base = self._baseline(comparison.window, comparison.before)
        level = abs(comparison.baseline)
        if not level or not base:
            return None
        size = len(base)
        grid = [base[(2 * place + 1) * size // (2 * _GRID)] for place in range(_GRID)]
        scores, _ = normal_scores(size + 1)
        weight = 1 / (1 / window + 1 / size)

        def enough(drop: float) -> bool:
            fallen = [value * (1 - drop) if base[0] > 0 else value - drop * level for value in grid]
            places = ((bisect_left(base, value) + bisect_right(base, value)) // 2 for value in fallen)
            score = sum(scores[place] for place in places) / _GRID
            return score < 0 and score * score * weight / 2 >= needed

        highest = 1.0 if base[0] > 0 else (base[-1] / level - base[0] / level) or 1.0
        return smallest_that(enough, 0.0, highest) if math.isfinite(highest) else None

    def failing(self, comparison: Comparison) -> list[Observation]:
        """Return the events of the window below the baseline's mean, the lowest first."""
        below = (
            event
            for event in self._events[-comparison.window :]
            if (event.value or 0.0) < comparison.baseline
        )
        return sorted(below, key=lambda event: event.value or 0.0)

    def measured_against(self, comparison: Comparison) -> PinnedBaseline:
        """Return the mean and the values it was taken from."""
        if self._pinned is not None:
            return self._pinned
        kept = pinned_values(self._baseline(comparison.window, comparison.before))
        return PinnedBaseline(VALUE, comparison.baseline, kept.n, kept.sample)

    def _baseline(self, window: int, before: int) -> list[float]:
        """Return the values of the baseline, in ascending order."""
        if self._pinned is not None:
            return self._values[: self._sample]
        start = len(self._values) - window
        return sorted(self._values[start - before : start])


@lru_cache(maxsize=64)
def normal_scores(n: int) -> tuple[tuple[float, ...], float]:
    """Return the quantiles of the normal distribution at 1/(n+1) … n/(n+1), and their standard deviation."""
    scores = tuple(_NORMAL.inv_cdf(place / (n + 1)) for place in range(1, n + 1))
    return scores, math.sqrt(math.fsum(score * score for score in scores) / (n - 1))


def _scrambled(number: int) -> int:
    """Return a number without the order that ids have (the finaliser of SplitMix64)."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)
