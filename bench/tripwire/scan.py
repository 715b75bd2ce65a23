"""Rules that compare windows: golive's two, and the Mann-Whitney test with an effect size (Kayenta's way).

Each is an object with `evidence(x)`: an array of streams × events, the evidence after every event, so that a
bar may be chosen afterwards; it is minus infinity where the rule has no verdict or the drop is too small.
"""

import numpy as np
from bench.tripwire.streams import Array

from golive.tripwire.calibration import FOR_RATES, LARGEST_BASELINE, SCANNED_WINDOWS

NOTHING = -np.inf
CHUNK = 25
"""Streams at once: their sums stay in the processor's cache."""


def bars(rate: Array) -> Array:
    """Return the evidence `confirmed` mode needs at 1 % false trips, by the rate of the baseline."""
    rates, needed = zip(*FOR_RATES, strict=True)
    return np.interp(rate, rates, needed)


def sums(x: Array) -> Array:
    """Return the successes before each event, and in all."""
    made = np.zeros((x.shape[0], x.shape[1] + 1), np.int32)
    np.cumsum(x, axis=1, out=made[:, 1:])
    return made


def likelihood_ratio(
    good: Array, window: int, good_before: Array, before: Array, credit: float = 0.5
) -> Array:
    """Return the evidence of `golive.tripwire.rates.evidence`, by the entropies of counts."""
    credited = good + credit
    worse = credited * before < good_before * window
    credited = np.where(worse, credited, 0.0)
    good_before = np.where(worse, good_before, 0)
    size = window + before
    ratio = (
        _entropy(credited, window) + _entropy(good_before, before) - _entropy(credited + good_before, size)
    )
    return np.where(worse, ratio, 0.0)


def _entropy(good: Array, size: Array) -> Array:
    """Return the log-likelihood of counts at their own rate."""
    return _xlogx(good) + _xlogx(size - good) - _xlogx(size)


def _xlogx(x: Array) -> Array:
    x = np.asarray(x, np.float64)
    return x * np.log(np.maximum(x, 1e-300))


def _drop(good: Array, window: int, good_before: Array, before: Array) -> Array:
    """Return the relative drop; minus infinity where the baseline has no success."""
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = 1 - good * before / (good_before * window)
    return np.where(good_before > 0, drop, NOTHING)


class Confirmed:
    """`confirmed` mode, judged after every event; the evidence is what is above the bar of 1 % false trips.

    Args:
        max_drop: `max_drop_fraction`.
        credit: Which part of a success the window is credited with; 0 is the bare likelihood ratio, and the
            bar is not taken off.
        baseline: `baseline_events`.
    """

    name = "`confirmed`"

    def __init__(self, max_drop: float = 0.2, credit: float = 0.5, baseline: int = 200) -> None:
        self._max_drop, self._credit, self._baseline = max_drop, credit, baseline
        # With a full baseline the evidence is a function of two counts.
        self._tables = {
            window: self._weigh(np.arange(window + 1)[:, None], window, np.arange(LARGEST_BASELINE + 1))
            .astype(np.float32)
            .ravel()
            for window in SCANNED_WINDOWS
        }

    def _weigh(self, good: Array, window: int, good_before: Array, before: Array = LARGEST_BASELINE) -> Array:
        evidence = likelihood_ratio(good, window, good_before, before, self._credit)
        if self._credit:
            evidence = evidence - bars(good_before / before)
        return np.where(_drop(good, window, good_before, before) >= self._max_drop - 1e-9, evidence, NOTHING)

    def evidence(self, x: Array) -> Array:
        """Return the largest evidence of any window whose drop is large enough, after every event."""
        return np.concatenate([self._chunk(x[at : at + CHUNK]) for at in range(0, len(x), CHUNK)])

    def _chunk(self, x: Array) -> Array:
        events, most = x.shape[1], LARGEST_BASELINE
        total = sums(x)
        found = np.full(x.shape, NOTHING, np.float32)
        for window, table in self._tables.items():
            ends = np.arange(window + self._baseline, min(window + most, events + 1))
            good_before = total[:, ends - window]
            early = self._weigh(total[:, ends] - good_before, window, good_before, ends - window)
            found[:, ends - 1] = np.maximum(found[:, ends - 1], early)
            if events >= window + most:
                split = total[:, most : events + 1 - window]
                good = total[:, window + most :] - split
                late = table.take(good * (most + 1) + split - total[:, : events + 1 - window - most])
                np.maximum(found[:, window + most - 1 :], late, out=found[:, window + most - 1 :])
        return found


class Pinned:
    """`confirmed` mode against a pinned rate, taken from `n` events before the stream, or known (None)."""

    def __init__(self, rate: float, n: int | None, rng: Array, max_drop: float = 0.2) -> None:
        self._rate, self._n, self._rng, self._max_drop = rate, n, rng, max_drop

    def evidence(self, x: Array) -> Array:
        """Return the largest evidence of any window whose drop is large enough, after every event."""
        total = sums(x)
        size = self._n or 10**9
        pinned = self._rng.binomial(self._n, self._rate, (len(x), 1)) if self._n else self._rate * size
        found = np.full(x.shape, NOTHING, np.float32)
        rows = np.arange(len(x))[:, None]
        for window in SCANNED_WINDOWS:
            good = np.broadcast_to(np.arange(window + 1), (len(x), window + 1))
            table = likelihood_ratio(good, window, pinned, size) - bars(pinned / size)
            table = np.where(_drop(good, window, pinned, size) >= self._max_drop - 1e-9, table, NOTHING)
            late = table.astype(np.float32)[rows, total[:, window:] - total[:, :-window]]
            np.maximum(found[:, window - 1 :], late, out=found[:, window - 1 :])
        return found


class Threshold:
    """`threshold` mode: the evidence is the drop itself."""

    name = "`threshold`"

    def __init__(self, window: int = 50, before: int = 200) -> None:
        self._window, self._before = window, before

    def evidence(self, x: Array) -> Array:
        """Return the drop after every event."""
        good, good_before = _adjacent(x, self._window, self._before)
        found = np.full(x.shape, NOTHING, np.float32)
        found[:, self._window + self._before - 1 :] = _drop(good, self._window, good_before, self._before)
        return found


class MannWhitney:
    """The Mann-Whitney test of two adjacent windows, beside a drop that is large enough.

    On outcomes of two values its statistic, corrected for ties, is the z of two rates.
    """

    def __init__(self, window: int, before: int, max_drop: float = 0.2) -> None:
        self.name = f"Mann-Whitney {window} / {before}"
        self._window, self._before, self._max_drop = window, before, max_drop

    def evidence(self, x: Array) -> Array:
        """Return z after every event, towards fewer successes, where the drop is large enough."""
        window, before = self._window, self._before
        good, good_before = _adjacent(x, window, before)
        size, all_good = window + before, good + good_before
        # U and its variance under the null, ties counted half, as scipy.stats.mannwhitneyu has them.
        u = (
            good * (before - good_before)
            + (good * good_before + (window - good) * (before - good_before)) / 2
        )
        ties = _cubes(all_good) + _cubes(size - all_good)
        variance = window * before / 12 * ((size + 1) - ties / (size * (size - 1)))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(variance > 0, (window * before / 2 - u) / np.sqrt(variance), 0)
        found = np.full(x.shape, NOTHING, np.float32)
        large = _drop(good, window, good_before, before) >= self._max_drop - 1e-9
        found[:, size - 1 :] = np.where(large, z, NOTHING)
        return found


def _cubes(count: Array) -> Array:
    count = count.astype(np.float64)
    return count**3 - count


def _adjacent(x: Array, window: int, before: int) -> tuple[Array, Array]:
    """Return the successes of the window and of those before it, after every event that has both."""
    total = sums(x)
    split = total[:, before : total.shape[1] - window]
    return total[:, before + window :] - split, split - total[:, : total.shape[1] - window - before]
