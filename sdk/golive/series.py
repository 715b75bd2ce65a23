"""What rates over time are made of: for each metric its steps, from which a chart is drawn.

with readers.reading(db) as events:
    for each in events.series(since, until, steps=48):
        each.success_rate, each.steps[-1].events
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

__all__ = ["Series", "Step", "mean", "rate", "series_of", "step_seconds"]


class Step(NamedTuple):
    """What happened in one step of the range.

    Attributes:
        place: Which step, from 0; those without events are left out.
        events: How many events there were.
        decided: How many of them succeeded or failed.
        successes: How many succeeded.
        valued: How many carry a value.
        value_sum: The sum of those.
        cancelled: How many neither succeeded nor failed, and carry no value.
    """

    place: int
    events: int
    decided: int
    successes: int
    valued: int
    value_sum: float
    cancelled: int


class Series(NamedTuple):
    """A stream in the range; its figures are those of `EventReader.summary`."""

    domain: str
    metric: str
    steps: list[Step]

    @property
    def events(self) -> int:
        """How many there were."""
        return sum(step.events for step in self.steps)

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(step.decided - step.successes for step in self.steps)

    @property
    def cancelled(self) -> int:
        """How many were cancelled."""
        return sum(step.cancelled for step in self.steps)

    @property
    def success_rate(self) -> float | None:
        """Successes of all that succeeded or failed; None if nothing did either."""
        return rate(self.steps)

    @property
    def value_mean(self) -> float | None:
        """Of those that carry a value; None if none does."""
        return mean(self.steps)


def rate(steps: Sequence[Step]) -> float | None:
    """Return the success rate of steps together."""
    decided = sum(step.decided for step in steps)
    return sum(step.successes for step in steps) / decided if decided else None


def mean(steps: Sequence[Step]) -> float | None:
    """Return the mean value of steps together."""
    valued = sum(step.valued for step in steps)
    return math.fsum(step.value_sum for step in steps) / valued if valued else None


def step_seconds(since: dt.datetime, until: dt.datetime, steps: int) -> int:
    """Return how many seconds a step has."""
    return max(1, math.ceil((until - since).total_seconds() / steps))


def series_of(rows: Iterable[Sequence[Any]]) -> list[Series]:
    """Return the series of streams, by domain and metric.

    Args:
        rows: One for each step of a stream that has events: domain, metric, and the step's own figures in
            their order; the sum is None where there is none.
    """
    ordered = sorted(rows, key=lambda row: tuple(row[:3]))
    return [
        Series(domain, metric, [_step(*row[2:]) for row in found])
        for (domain, metric), found in groupby(ordered, key=lambda row: tuple(row[:2]))
    ]


def _step(
    place: int,
    events: int,
    decided: int,
    successes: int,
    valued: int,
    value_sum: float | None,
    cancelled: int,
) -> Step:
    return Step(place, events, decided, successes, valued, value_sum or 0.0, cancelled)
