"""Detectors that keep a state and look at each event once, thousands of streams at a time.

As in `scan`, `evidence(x)` is an array of streams × events. DDM, Page-Hinkley and HDDM are `river`'s (0.26),
which see failures as 1; where a setting decides what the state becomes, it is set beforehand, and the
evidence is 1 or 0. None is reset by a change: the first alarm is what counts.
"""

import numpy as np
from bench.tripwire.streams import Array


class DDM:
    """Drift detection method (Gama et al. 2004): the failure rate so far, in deviations above its lowest."""

    name = "DDM"

    def __init__(self, warm_start: int = 1000) -> None:
        self.warm_start = warm_start

    def evidence(self, x: Array) -> Array:
        """Return by how many deviations the failure rate is above its lowest."""
        failures = _failures(x)
        found = np.full(failures.shape, -np.inf, np.float32)
        total = np.zeros(failures.shape[1])
        lowest = np.full(failures.shape[1], np.inf)
        p_min, s_min = np.zeros_like(total), np.zeros_like(total)
        for at, failed in enumerate(failures):
            total += failed
            if at < self.warm_start:
                continue
            p = total / (at + 1)
            s = np.sqrt(p * (1 - p) / (at + 1))
            lower = p + s <= lowest
            lowest = np.where(lower, p + s, lowest)
            p_min, s_min = np.where(lower, p, p_min), np.where(lower, s, s_min)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[at] = np.nan_to_num((p + s - p_min) / s_min, nan=0.0)
        return found.T


class PageHinkley:
    """Page-Hinkley (Page 1954): failures above their mean so far, summed, above the lowest sum."""

    def __init__(self, delta: float, min_instances: int = 250) -> None:
        self.name = f"Page-Hinkley, δ {delta:g}"
        self.delta, self.min_instances = delta, min_instances

    def evidence(self, x: Array) -> Array:
        """Return the sum above its lowest."""
        failures = _failures(x)
        found = np.full(failures.shape, -np.inf, np.float32)
        total = np.zeros(failures.shape[1])
        increase, lowest = np.zeros_like(total), np.full_like(total, np.inf)
        for at, failed in enumerate(failures):
            total += failed
            increase = (1 - 0.0001) * increase + (failed - total / (at + 1) - self.delta)
            lowest = np.minimum(lowest, increase)
            if at + 1 >= self.min_instances:
                found[at] = increase - lowest
        return found.T


class HddmA:
    """HDDM_A (Frías-Blanco et al. 2015): the failure rate since the best moment, by Hoeffding's bound."""

    name = "HDDM_A"

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence

    def evidence(self, x: Array) -> Array:
        """Return 1 where it signals."""
        failures = _failures(x)
        found = np.zeros(failures.shape, np.float32)
        total = np.zeros(failures.shape[1])
        best_mean, best_n = np.zeros_like(total), np.zeros_like(total)
        bound, signal = np.log(1 / self.confidence) / 2, np.log(2 / self.confidence) / 2
        for at, failed in enumerate(failures):
            n = at + 1
            total += failed
            mean = total / n
            if not at:
                best_mean, best_n = mean.copy(), np.ones_like(total)
            moves = best_mean + np.sqrt(bound / best_n) >= mean + np.sqrt(bound / n)
            best_mean, best_n = np.where(moves, mean, best_mean), np.where(moves, n, best_n)
            gap = (n - best_n) / best_n / n
            found[at] = (best_n < n) & (mean - best_mean >= np.sqrt(gap * signal))
        return found.T


class HddmW:
    """HDDM_W: the same with means that forget, by McDiarmid's bound."""

    def __init__(self, confidence: float, forgets: float = 0.05) -> None:
        self.name = f"HDDM_W, λ {forgets:g}"
        self.confidence, self.forgets = confidence, forgets

    def evidence(self, x: Array) -> Array:
        """Return 1 where it signals."""
        failures = _failures(x)
        found = np.zeros(failures.shape, np.float32)
        streams = failures.shape[1]
        half = np.log(1 / self.confidence) / 2
        forgets, squared, kept = self.forgets, self.forgets**2, (1 - self.forgets) ** 2
        mean, weight = np.zeros(streams), 1.0
        lowest = np.full(streams, np.inf)
        mean1, weight1 = np.zeros(streams), np.ones(streams)
        mean2, weight2, started = np.zeros(streams), np.ones(streams), np.zeros(streams, bool)
        for at, failed in enumerate(failures):
            mean = failed.astype(float) if not at else forgets * failed + (1 - forgets) * mean
            weight = squared + kept * weight
            bounded = mean + np.sqrt(weight * half)
            cut = bounded < lowest
            lowest = np.where(cut, bounded, lowest)
            mean1, weight1 = np.where(cut, mean, mean1), np.where(cut, weight, weight1)
            second = np.where(started, forgets * failed + (1 - forgets) * mean2, failed)
            mean2 = np.where(cut, 0.0, second)
            weight2 = np.where(cut, 1.0, squared + kept * weight2)
            started = ~cut
            found[at] = started & (mean2 - mean1 > np.sqrt((weight1 + weight2) * half))
        return found.T


class EDetector:
    """A mixture of Shiryaev-Roberts e-detectors (Shin, Ramdas, Rinaldo 2022) for "the rate is lower now".

    M = Λ·(M + 1) for each alternative, Λ the likelihood ratio of one event, an e-value for every rate not
    below the one assumed; the evidence is the logarithm of the mean of all M.

    Args:
        margin: Which relative drop is not yet one: the rate assumed is so much lower than the one seen.
        known: The true rate, to see what is possible at all; None to take it, as golive does, from the 1,000
            events before the newest 400.
    """

    ALTERNATIVES = (0.15, 0.25, 0.4, 0.6, 0.8, 0.95)

    def __init__(self, margin: float = 0.0, known: float | None = None) -> None:
        self.margin, self.known = margin, known
        self.name = f"e-detector, margin {margin:.0%}" if known is None else "e-detector that knows the rate"

    def evidence(self, x: Array) -> Array:
        """Return the logarithm of the mixture."""
        events = np.ascontiguousarray(x.T)
        found = np.full(events.shape, -np.inf, np.float32)
        drops = np.array(self.ALTERNATIVES)[:, None]
        state = np.zeros((len(drops), events.shape[1]))
        total = np.zeros((events.shape[0] + 1, events.shape[1]), np.int32)
        np.cumsum(events, axis=0, out=total[1:])
        for at in range(200, len(events)):
            if self.known is None:
                newest = at - min(400, at // 4)
                oldest = max(0, newest - 1000)
                rate = (total[newest] - total[oldest] + 0.5) / (newest - oldest + 1)
            else:
                rate = np.full(events.shape[1], self.known)
            assumed = rate * (1 - self.margin)
            other = assumed * (1 - drops)
            ratio = np.where(events[at] == 1, 1 - drops, (1 - other) / (1 - assumed))
            state = np.minimum(ratio * (state + 1), 1e200)
            found[at] = np.log(state.mean(axis=0))
        return found.T


def _failures(x: Array) -> Array:
    """Return failures as 1, an event a row."""
    return np.ascontiguousarray(1 - x.T)
