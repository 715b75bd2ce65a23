"""Simulated streams of outcomes: an array of streams × events, 1 for a success."""

from typing import Any

import numpy as np

Array = Any
"""numpy's arrays: it is not among the development tools, so its types are not known to the checks."""

RATES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
AWKWARD_RATES = (0.53, 0.635, 0.78, 0.85)
"""Where few failures in a row come near a round number of evidence."""
EVENTS = 10_000
QUIET = 1_500
"""Events before a change."""
AFTER = 1_000


def generator(*seed: float) -> Any:
    """Return a generator of its own for what the numbers name."""
    return np.random.default_rng([round(1000 * number) for number in seed])


def quiet(rate: float, streams: int, events: int = EVENTS) -> Array:
    """Return streams in which nothing changes."""
    return (generator(1, rate).random((streams, events), np.float32) < rate).astype(np.uint8)


def seasonal(rate: float, streams: int, period: int, events: int = EVENTS) -> Array:
    """Return streams whose rate swings by 3 points either way, once in so many events."""
    swing = rate + 0.03 * np.sin(2 * np.pi * np.arange(events) / period)
    return (generator(2, rate, period).random((streams, events), np.float32) < swing).astype(np.uint8)


def correlated(rate: float, streams: int, correlation: float, events: int = EVENTS) -> Array:
    """Return streams in which an event repeats the one before it with this probability, beyond chance."""
    rng = generator(3, rate, correlation)
    fresh = rng.random((streams, events), np.float32) < rate
    repeats = rng.random((streams, events), np.float32) < correlation
    repeats[:, 0] = False
    origin = np.maximum.accumulate(np.where(repeats, 0, np.arange(events, dtype=np.int32)), axis=1)
    return np.take_along_axis(fresh, origin, axis=1).astype(np.uint8)


def changed(rate: float, drop: float, streams: int) -> Array:
    """Return streams that fall by a share after `QUIET` events."""
    rates = np.where(np.arange(QUIET + AFTER) < QUIET, rate, rate * (1 - drop))
    return (generator(4, rate, drop).random((streams, QUIET + AFTER), np.float32) < rates).astype(np.uint8)
