"""`confirmed` mode on values: normal scores of ranks, over thousands of windows at once.

The evidence depends on the ranks alone, so one pass serves every distribution; the drop is looked at only
where there is evidence enough.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from bench.tripwire.streams import Array

from golive.tripwire.calibration import LARGEST_BASELINE, LARGEST_WINDOW, SCANNED_WINDOWS
from golive.tripwire.guarded import guarded, mean, standard_error
from golive.tripwire.values import normal_scores

READ = LARGEST_BASELINE + LARGEST_WINDOW
BLOCK = 1000
"""Events at once."""


@lru_cache
def _scores(window: int) -> tuple[Array, float]:
    scores, spread = normal_scores(LARGEST_BASELINE + window)
    return np.array(scores, np.float32), np.sqrt(1 / window + 1 / LARGEST_BASELINE) / spread


def evidence(x: Array, start: int) -> Iterator[tuple[int, Array]]:
    """Yield blocks of evidence, windows × events, from event `start` on (at least 1,400 are before it).

    Args:
        x: One stream of values, all different.
        start: Events before the first that is judged.
    """
    for first in range(start, len(x), BLOCK):
        yield first, _block(x[first - READ + 1 : first + BLOCK], READ - 1)


def _block(x: Array, start: int) -> Array:
    """Return the evidence after each event from `start` on, windows × events."""
    judged = len(x) - start
    # Row j, column i: among the j events just before event i, how many are lower; i from the first that is
    # ever in a window. What lies before all events is never asked for. `above` is the same of
    # those after.
    oldest = start - LARGEST_WINDOW + 1
    here = x[oldest:]
    below = np.zeros((READ, len(here)), np.int16)
    padded = np.concatenate([np.zeros(LARGEST_WINDOW), x])
    for lag in range(1, READ):
        first = oldest + LARGEST_WINDOW - lag
        np.add(below[lag - 1], padded[first : first + len(here)] < here, out=below[lag])
    above = np.zeros((LARGEST_WINDOW, len(here)), np.int16)
    for lag in range(1, LARGEST_WINDOW):
        np.add(above[lag - 1], 0, out=above[lag])
        above[lag, : len(here) - lag] += here[lag:] < here[: len(here) - lag]
    found = np.zeros((len(SCANNED_WINDOWS), judged), np.float32)
    for row, window in enumerate(SCANNED_WINDOWS):
        scores, scale = _scores(window)
        total = np.zeros(judged, np.float32)
        for age in range(window):
            column = slice(LARGEST_WINDOW - 1 - age, LARGEST_WINDOW - 1 - age + judged)
            rank = below[LARGEST_BASELINE + window - 1 - age, column] + above[age, column]
            total += scores.take(rank)
        z = total * np.float32(scale)
        found[row] = np.where(z < 0, z * z / 2, 0)
    return found


def first_trip(x: Array, blocks: list[tuple[int, Array]], bar: float, max_drop: float) -> int | None:
    """Return after how many events a stream trips, given its evidence."""
    for first, block in blocks:
        rows, columns = np.nonzero(block >= bar)
        for column, row in sorted(zip(columns.tolist(), rows.tolist(), strict=True)):
            end, window = first + column + 1, SCANNED_WINDOWS[row]
            if falls(x[end - window - LARGEST_BASELINE : end - window], x[end - window : end], max_drop):
                return int(end)
    return None


def falls(before: Array, window: Array, max_drop: float) -> bool:
    """Tell whether the window's mean has dropped enough, as `golive.tripwire.values` measures it."""
    base, now = guarded(sorted(before.tolist())), guarded(sorted(window.tolist()))
    baseline, current = mean(base), mean(now)
    if abs(baseline) <= standard_error(base):
        return current < -standard_error(now)
    return (baseline - current) / abs(baseline) >= max_drop - 1e-9
