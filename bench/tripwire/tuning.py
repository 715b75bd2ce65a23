"""Every detector is given the bar at which at most 1 % of quiet streams alarm, at whichever rate."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from bench.tripwire.streams import EVENTS, RATES, Array, quiet

FALSE_TRIPS = 0.01


class Rule(Protocol):
    """Something that weighs the evidence for a fall after every event."""

    name: str

    def evidence(self, x: Array) -> Array:
        """Return streams × events."""
        ...


class Tuned(NamedTuple):
    """A detector with its bar.

    Attributes:
        setting: How it is set, for people.
        false_trips: Share of quiet streams that alarm, by rate.
    """

    name: str
    rule: Callable[[float], Rule]
    bar: float
    setting: str
    streams: int
    false_trips: Mapping[float, float]


def at_bar(name: str, rule: Callable[[float], Rule], bar: float, setting: str, streams: int) -> Tuned:
    """Return a rule at a bar that is given."""
    found = {rate: share(peaks(rule(rate), rate, streams) >= bar) for rate in RATES}
    return Tuned(name, rule, bar, setting, streams, found)


def tuned(rule: Callable[[float], Rule], streams: int) -> Tuned:
    """Return a rule at the lowest bar that keeps false trips.

    Args:
        rule: Makes it for a rate, which only what knows the rate looks at.
        streams: How many streams of each rate.
    """
    by_rate = {rate: peaks(rule(rate), rate, streams) for rate in RATES}
    allowed = int(FALSE_TRIPS * streams)
    bar = max(np.sort(peak)[-allowed - 1] for peak in by_rate.values())
    bar = float(np.nextafter(np.float32(bar), np.float32(np.inf)))
    found = {rate: share(peak >= bar) for rate, peak in by_rate.items()}
    return Tuned(rule(0.5).name, rule, bar, f"bar {bar:.3g}", streams, found)


def tuned_setting(make: Callable[[float], Rule], streams: int, low: float, high: float) -> Tuned:
    """Return a rule at the largest confidence parameter, by its decimal logarithm, that keeps false trips."""

    def false(exponent: float) -> dict[float, float]:
        return {rate: share(peaks(make(10**exponent), rate, streams) > 0) for rate in RATES}

    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if max(false(middle).values()) <= FALSE_TRIPS else (low, middle)
    setting = f"confidence {10**low:.1e}"
    return Tuned(make(10**low).name, lambda _: make(10**low), 0.5, setting, streams, false(low))


def peaks(rule: Rule, rate: float, streams: int) -> Array:
    """Return the largest evidence in each quiet stream."""
    found = [
        rule.evidence(part).max(axis=1)
        for part in np.array_split(quiet(rate, streams), max(1, streams // 500))
    ]
    return np.concatenate(found)


def share(hits: Array) -> float:
    """Return the share that is true."""
    return float(np.mean(hits))


def interval(found: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share found among n."""
    z = 1.96
    middle = (found + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(found * (1 - found) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def describe(streams: int) -> str:
    """Return how well 1 % is known from so many streams."""
    low, high = interval(FALSE_TRIPS, streams)
    return f"{streams} streams of {EVENTS:,} events a rate: 1 % is {low:.1%} to {high:.1%}"
