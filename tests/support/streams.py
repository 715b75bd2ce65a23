"""Streams of outcomes for the tripwire: one event a minute, ids from 1."""

import datetime as dt
import random
from collections.abc import Iterable, Sequence

from golive.tripwire import Observation

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def outcomes(successes: Iterable[bool | None]) -> list[Observation]:
    """Return events with these success flags; None is a cancelled one."""
    return [
        Observation(number + 1, START + number * MINUTE, success, None, f"trace{number + 1}")
        for number, success in enumerate(successes)
    ]


def amounts(values: Iterable[float]) -> list[Observation]:
    """Return events with these values."""
    return [
        Observation(number + 1, START + number * MINUTE, None, value, f"trace{number + 1}")
        for number, value in enumerate(values)
    ]


def rate(successes: int, of: int) -> list[bool]:
    """Return `of` flags, exactly so many of them true, the failures evenly spread."""
    return [(place + 1) * successes // of > place * successes // of for place in range(of)]


def normal(mean: float, deviation: float, n: int, seed: int = 1) -> list[float]:
    """Return values of a normal distribution."""
    chance = random.Random(seed)
    return [chance.gauss(mean, deviation) for _ in range(n)]


def shuffled(events: Sequence[Observation], seed: int = 1) -> list[Observation]:
    """Return the events in another order."""
    return random.Random(seed).sample(events, len(events))
