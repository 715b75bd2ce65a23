"""The read side of KPI events: one interface, whichever store holds them, and what it returns.

    from golive import readers

    with readers.reading(db) as events:
        events.summary(since=yesterday)
        events.timeline("deal_123")

`golive.sql_reader` reads SQLite and PostgreSQL; what reads other stores is found by entry point.
"""

import datetime as dt
from typing import Any, NamedTuple, Protocol

from golive.series import Series
from golive.tripwire import Observation

__all__ = [
    "Cursor",
    "Event",
    "EventFilter",
    "EventReader",
    "MetricSummary",
    "TimelineEntry",
    "timeline_of",
]


class EventReader(Protocol):
    """Reads the events of one store, each once, however often it was written.

    Its methods may block; one thread at a time calls them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The store cannot be reached within the deadline, or refuses.
    """

    def events(self, wanted: "EventFilter", limit: int, after: "Cursor | None" = None) -> "list[Event]":
        """Return the latest events, the newest first, `limit` of them; those older than the cursor's.

        Of one metric they come by time, otherwise by id or by time, which rise together. Where the store
        keeps two events of one id, and the last is one of them, the other comes with it.
        """

    def summary(
        self, since: dt.datetime | None = None, until: dt.datetime | None = None, domain: str | None = None
    ) -> "list[MetricSummary]":
        """Return a summary per (domain, metric), in their order, from `since` to before `until`."""

    def timeline(self, correlation_id: str, limit: int | None = None) -> "list[TimelineEntry]":
        """Return the events of a correlation id in the order they happened, the first `limit` of them."""

    def series(
        self, since: dt.datetime, until: dt.datetime, steps: int, domain: str | None = None
    ) -> list[Series]:
        """Return every stream with events from `since` to before `until`, by its domain and metric.

        Args:
            since: A whole second.
            until: Later.
            steps: How many of equal length there are, each of whole seconds.
            domain: Of this one alone.
        """

    def newest_at(self) -> dt.datetime | None:
        """Return when the newest event happened; None where there is none."""

    def newest(
        self,
        domain: str,
        metric: str,
        limit: int,
        *,
        kind: str | None = None,
        among: int | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> list[Observation]:
        """Return the newest events of a stream, the newest first.

        Args:
            domain: Of which domain.
            metric: Of which metric.
            limit: How many at most.
            kind: Only those that carry this, `rate` or `value`; any if None.
            among: Look for them among so many of the newest; among all if None.
            since: After when.
            until: Before when.
        """


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


class TimelineEntry(NamedTuple):
    """One event of a correlation id. `offset_s` is from the first one, `gap_s` from the one before."""

    id: int
    created_at: dt.datetime
    offset_s: float
    gap_s: float
    domain: str
    metric: str
    outcome: str
    value: float | None
    actor: str | None
    duration_ms: float | None
    trace_id: str | None
    span_id: str | None
    detail: Any


class Event(NamedTuple):
    """One event, as its row has it."""

    id: int
    created_at: dt.datetime
    domain: str
    metric: str
    outcome: str
    value: float | None
    actor: str | None
    correlation_id: str | None
    duration_ms: float | None
    trace_id: str | None
    span_id: str | None
    detail: Any


class EventFilter(NamedTuple):
    """Which events; what is None does not narrow. `since` is included, `until` is not."""

    domain: str | None = None
    metric: str | None = None
    success: bool | None = None
    actor: str | None = None
    correlation_id: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class Cursor(NamedTuple):
    """Where a page ended: the event it showed last."""

    created_at: dt.datetime
    id: int


def timeline_of(events: list[Event]) -> list[TimelineEntry]:
    """Return the events of one correlation id, in the order they happened, as entries of its timeline."""
    entries: list[TimelineEntry] = []
    for event in events:
        previous = entries[-1].created_at if entries else event.created_at
        first = entries[0].created_at if entries else event.created_at
        entries.append(
            TimelineEntry(
                event.id,
                event.created_at,
                (event.created_at - first).total_seconds(),
                (event.created_at - previous).total_seconds(),
                event.domain,
                event.metric,
                event.outcome,
                event.value,
                event.actor,
                event.duration_ms,
                event.trace_id,
                event.span_id,
                event.detail,
            )
        )
    return entries
