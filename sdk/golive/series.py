"""What rates over time are made of: a summary per metric, and its steps, from which a chart is drawn.

with readers.reading(db) as events:
    for each in events.series(since, until, steps=48):
        each.summary.success_rate, each.steps[-1].success_rate
"""

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

__all__ = ["EPOCH", "MetricSummary", "Series", "Step", "series_of", "step_seconds"]

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""From which the seconds of a step are counted."""


class MetricSummary(NamedTuple):
    """What happened to one (domain, metric) in a range of time."""

    domain: str
    metric: str
    events: int
    successes: int
    failures: int
    values: int
    cancelled: int
    value_sum: float | None
    value_mean: float | None
    first_at: dt.datetime
    last_at: dt.datetime

    @property
    def success_rate(self) -> float | None:
        """Successes of all that succeeded or failed; None if nothing did either."""
        decided = self.successes + self.failures
        return self.successes / decided if decided else None


class Step(NamedTuple):
    """What happened in one step of the range, the first of which is 0. Steps without events are left out."""

    place: int
    events: int
    successes: int
    failures: int
    valued: int
    value_sum: float

    @property
    def value_mean(self) -> float | None:
        """Of those that carry a value; None if none does."""
        return self.value_sum / self.valued if self.valued else None

    @property
    def success_rate(self) -> float | None:
        """Successes of all that succeeded or failed; None if nothing did either."""
        decided = self.successes + self.failures
        return self.successes / decided if decided else None


class Series(NamedTuple):
    """A stream in the range: its figures, which are those of `reader.summary`, and its steps."""

    summary: MetricSummary
    steps: list[Step]


def step_seconds(since: dt.datetime, until: dt.datetime, steps: int) -> int:
    """Return how many seconds a step has."""
    return max(1, math.ceil((until - since).total_seconds() / steps))


def series_of(domain: str, metric: str, rows: Iterable[Any]) -> Series:
    """Return a stream's series.

    Args:
        domain: Of which domain.
        metric: Of which metric.
        rows: One for each step that has events, in order: its place, how many events, successes, failures,
            values and cancelled there are, how many carry a value, their sum, the first and the last time.
    """
    rows = list(rows)
    _, events, successes, failures, values, cancelled, valued, sums, firsts, lasts = zip(*rows, strict=True)
    value_sum = math.fsum(each for each in sums if each is not None)
    summary = MetricSummary(
        domain,
        metric,
        sum(events),
        int(sum(successes)),
        int(sum(failures)),
        int(sum(values)),
        int(sum(cancelled)),
        value_sum if sum(valued) else None,
        value_sum / sum(valued) if sum(valued) else None,
        min(firsts),
        max(lasts),
    )
    return Series(
        summary,
        [Step(row[0], row[1], int(row[2]), int(row[3]), row[6], row[7] or 0.0) for row in rows],
    )
