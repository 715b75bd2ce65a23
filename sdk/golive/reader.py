"""The read side of `kpi_event`: events, rates per metric, and the timeline of a correlation id."""

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select, tuple_

from golive.events import outcome_of
from golive.models import KpiEventRow

__all__ = [
    "Cursor",
    "Event",
    "EventFilter",
    "MetricSummary",
    "TimelineEntry",
    "events",
    "summary",
    "timeline",
]


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


def events(
    connection: Connection, wanted: EventFilter, limit: int, after: Cursor | None = None
) -> list[Event]:
    """Return the latest events, the newest first, at most `limit`; those older than the cursor's.

    Of one metric they come by time, otherwise by id, which rises with time: each is a range of an index.
    """
    row = KpiEventRow
    by_time = wanted.domain is not None and wanted.metric is not None
    order = (row.created_at, row.id) if by_time else (row.id,)
    query = select(row.__table__).order_by(*(column.desc() for column in order)).limit(limit)
    for field in ("domain", "metric", "success", "actor", "correlation_id"):
        if (value := getattr(wanted, field)) is not None:
            query = query.where(getattr(row, field) == value)
    if wanted.since is not None:
        query = query.where(row.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(row.created_at < wanted.until)
    if after is not None:
        bound = after if by_time else (after.id,)
        query = query.where(tuple_(*order) < tuple_(*bound))
    return [
        Event(
            line.id,
            line.created_at,
            line.domain,
            line.metric,
            outcome_of(line.success, line.value),
            line.value,
            line.actor,
            line.correlation_id,
            line.duration_ms,
            line.trace_id,
            line.span_id,
            line.detail,
        )
        for line in connection.execute(query)
    ]


def summary(
    connection: Connection,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    domain: str | None = None,
) -> list[MetricSummary]:
    """Return a summary per (domain, metric) of the events from `since` to before `until`, in their order."""
    row = KpiEventRow

    def count(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    undecided = row.success.is_(None)
    query = select(
        row.domain,
        row.metric,
        func.count(),
        count(row.success.is_(True)),
        count(row.success.is_(False)),
        count(undecided & row.value.is_not(None)),
        count(undecided & row.value.is_(None)),
        func.sum(row.value),
        func.avg(row.value),
        func.min(row.created_at),
        func.max(row.created_at),
    ).group_by(row.domain, row.metric)
    for condition in (
        domain is None or row.domain == domain,
        since is None or row.created_at >= since,
        until is None or row.created_at < until,
    ):
        if condition is not True:
            query = query.where(condition)
    found = connection.execute(query.order_by(row.domain, row.metric))
    return [MetricSummary(*map(_plain, line)) for line in found]


def timeline(connection: Connection, correlation_id: str, limit: int | None = None) -> list[TimelineEntry]:
    """Return the events of a correlation id in the order they happened, the first `limit` of them."""
    row = KpiEventRow
    query = select(row).where(row.correlation_id == correlation_id).order_by(row.created_at, row.id)
    query = query.limit(limit)
    entries: list[TimelineEntry] = []
    for line in connection.execute(query):
        previous = entries[-1].created_at if entries else line.created_at
        first = entries[0].created_at if entries else line.created_at
        entries.append(
            TimelineEntry(
                line.id,
                line.created_at,
                (line.created_at - first).total_seconds(),
                (line.created_at - previous).total_seconds(),
                line.domain,
                line.metric,
                outcome_of(line.success, line.value),
                line.value,
                line.actor,
                line.duration_ms,
                line.trace_id,
                line.span_id,
                line.detail,
            )
        )
    return entries


def _plain(value: Any) -> Any:
    """Return PostgreSQL's exact sums of whole numbers as the integers they are."""
    return int(value) if value.__class__.__name__ == "Decimal" else value
