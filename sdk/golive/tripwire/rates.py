"""Success rates: the two-sample likelihood ratio.

Sources: S. S. Wilks, "The large-sample distribution of the likelihood ratio" (1938); F. Yates, "Contingency
tables involving small numbers" (1934), for the half event.
"""

import math
from collections.abc import Sequence
from copy import copy
from itertools import accumulate
from typing import Self

from golive.tripwire.comparison import Comparison, relative_drop, smallest_that
from golive.tripwire.observations import RATE, Observation
from golive.tripwire.pinned import PinnedBaseline


class Rates:
    """Events with a success flag, from the oldest to the newest."""

    kind = RATE

    def __init__(self, events: Sequence[Observation], pinned: PinnedBaseline | None) -> None:
        self._events = events
        self._pinned = pinned
        self._end = len(events)
        self._successes = [0, *accumulate(bool(event.success) for event in events)]

    def __len__(self) -> int:
        return self._end

    def until(self, end: int) -> Self:
        """Return the stream as it was after so many events; both share what was counted."""
        view = copy(self)
        view._end = end
        return view

    def plain(self, window: int, before: int) -> Comparison:
        """Compare the success rates of the window and its baseline."""
        start = self._end - window
        current = (self._successes[self._end] - self._successes[start]) / window
        if self._pinned is not None:
            return Comparison(
                window, 0, self._pinned.level, current, relative_drop(self._pinned.level, current)
            )
        baseline = (self._successes[start] - self._successes[start - before]) / before
        return Comparison(window, before, baseline, current, relative_drop(baseline, current))

    def guarded(self, window: int, before: int) -> Comparison:
        """Compare them; a flag is no outlier."""
        return self.plain(window, before)

    def evidence(self, window: int, before: int) -> float:
        """Return the evidence that the window is worse."""
        made = self.plain(window, before)
        return evidence(made.current, window, made.baseline, self._size(before))

    def detectable_drop(self, comparison: Comparison, window: int, needed: float) -> float | None:
        """Return the smallest drop of which `window` events are expected to give the evidence needed."""
        baseline = comparison.baseline
        size = self._size(comparison.before)
        if not baseline:
            return None
        return smallest_that(
            lambda drop: evidence(baseline * (1 - drop), window, baseline, size) >= needed, 0.0, 1.0
        )

    def failing(self, comparison: Comparison) -> list[Observation]:
        """Return the failures of the window, the newest first."""
        window = self._events[self._end - comparison.window : self._end]
        return [event for event in reversed(window) if not event.success]

    def measured_against(self, comparison: Comparison) -> PinnedBaseline:
        """Return the rate, and from how many events it was taken."""
        return self._pinned or PinnedBaseline(RATE, comparison.baseline, comparison.before)

    def _size(self, before: int) -> int | None:
        """Return how many events the baseline rests on."""
        return before if self._pinned is None else self._pinned.n


def evidence(current: float, window: int, baseline: float, before: int | None) -> float:
    """Return how much likelier two rates make the events than one rate does, as a logarithm.

    The window is credited with half a success: without it, a few failures in a row weigh more than they are
    rare (eight in a row at a rate of 0.78 are the worst case), and three times as many quiet streams trip as
    were asked for.

    Args:
        current: Success rate of the window, 0 to 1.
        window: Its events.
        baseline: Success rate of the baseline.
        before: Its events; None for a rate that is known exactly.

    Returns:
        window·KL(current‖together) + before·KL(baseline‖together); 0 unless the window is the worse.
    """
    credited = current + 0.5 / window
    if credited >= baseline:
        return 0.0
    if before is None:
        return window * _divergence(credited, baseline)
    together = (credited * window + baseline * before) / (window + before)
    return window * _divergence(credited, together) + before * _divergence(baseline, together)


def _divergence(a: float, b: float) -> float:
    """Return Kullback and Leibler's divergence of two coins, KL(a‖b)."""
    heads = a * math.log(a / b) if a > 0 else 0.0
    tails = (1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0
    return max(heads + tails, 0.0)  # of two rates that differ by the last bit the sum may fall below it
