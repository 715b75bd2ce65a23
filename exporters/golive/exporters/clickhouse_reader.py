"""Reads the events of ClickHouse, each once: of rows that are copies of one event, one.

Where a range is added up, `FINAL` leaves the copies out. Where rows are read from one end of a key, the rest
of which must not be read, they are left out of what came.
"""

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL

from golive.errors import SchemaError
from golive.events import outcome_of
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect, is_embedded, told
from golive.instants import microseconds
from golive.reader import Cursor, Event, EventFilter, MetricSummary, TimelineEntry, timeline_of
from golive.series import Series, series_of, step_seconds
from golive.tripwire import RATE, VALUE, Observation, carries

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

__all__ = ["ClickHouseReader", "open_reader"]

_MICROSECOND: Final = dt.timedelta(microseconds=1)
_AN_HOUR: Final = dt.timedelta(hours=1)
_A_WEEK: Final = dt.timedelta(days=7)
_WIDER: Final = 8
"""The latest events of all streams are looked for in the last hour, then in eight times as long before, and
so on; those of one stream in the last week first: what is years old need not even be opened."""

_TOLD: Final = ("domain", "metric", "success", "value", "actor", "correlation_id", "duration_ms", "trace_id",
                "span_id", "detail")  # fmt: skip
_EVENT: Final = f"id, created_at, {', '.join(_TOLD)}"
_SPARE: Final = 64
_COUNTS: Final = (
    "count(), countIf(success), countIf(NOT success), countIf(success IS NULL AND value IS NOT NULL), "
    "countIf(success IS NULL AND value IS NULL)"
)
_CARRYING: Final = {RATE: "success IS NOT NULL", VALUE: "success IS NULL AND value IS NOT NULL"}


@contextmanager
def open_reader(url: URL, deadline_s: float) -> "Iterator[ClickHouseReader]":
    """Give a reader of a store, on connections this process keeps.

    Args:
        url: The store.
        deadline_s: How long nothing waits for it, in seconds.

    Raises:
        sqlalchemy.exc.OperationalError: The store cannot be reached.
        SchemaError: It has no golive tables.
    """
    yield ClickHouseReader(url, _client(url, deadline_s, os.getpid()))


@lru_cache(maxsize=8)
def _client(url: URL, deadline_s: float, process: int) -> "Client":
    """Return a client of this process: after a fork the parent's connections are not the child's."""
    # Copies are always in one partition, for the time is part of the key.
    settings = {"max_execution_time": deadline_s, "do_not_merge_across_partitions_select_final": 1}
    try:
        return connect(url, deadline_s, settings)
    except SchemaError:
        if not is_embedded(url):
            raise
        clickhouse_schema.upgrade(url)
        return connect(url, deadline_s, settings)


class ClickHouseReader:
    """A `golive.reader.EventReader` of a ClickHouse store.

    Args:
        url: The store, for errors to name.
        client: Asks it.
    """

    def __init__(self, url: URL, client: "Client") -> None:
        self._url = url
        self._client = client

    def events(self, wanted: EventFilter, limit: int, after: Cursor | None = None) -> list[Event]:
        conditions, given = _narrowed(wanted)
        if after is not None:
            conditions.append(
                "(created_at, id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:Int64})"
            )
            given |= {"after_us": microseconds(after.created_at), "after_id": after.id}
        if wanted.correlation_id is not None:
            return self._page("kpi_event_by_correlation", conditions, given, limit)
        if wanted.domain is not None and wanted.metric is not None:
            return self._page("kpi_event", conditions, given, limit)
        windows = self._windows(wanted, _AN_HOUR, after)
        return [_event(row[1:]) for row in self._back(", ".join(_TOLD), conditions, given, limit, windows)]

    def summary(
        self, since: dt.datetime | None = None, until: dt.datetime | None = None, domain: str | None = None
    ) -> list[MetricSummary]:
        conditions, given = _narrowed(EventFilter(domain=domain, since=since, until=until))
        rows = self._rows(
            f"SELECT domain, metric, {_COUNTS}, sum(value), avg(value), min(created_at), max(created_at) "
            f"FROM kpi_event FINAL {_where(conditions)} GROUP BY domain, metric ORDER BY domain, metric",
            given,
        )
        return [MetricSummary._make([*row[:9], *map(_utc, row[9:])]) for row in rows]

    def timeline(self, correlation_id: str, limit: int | None = None) -> list[TimelineEntry]:
        rows = self._rows(
            f"SELECT {_EVENT} FROM kpi_event_by_correlation WHERE correlation_id = {{id:String}} "
            "ORDER BY created_at, id LIMIT 1 BY id, fingerprint"
            + ("" if limit is None else f" LIMIT {limit:d}"),
            {"id": correlation_id},
        )
        return timeline_of(list(map(_event, rows)))

    def series(
        self, since: dt.datetime, until: dt.datetime, steps: int, domain: str | None = None
    ) -> list[Series]:
        conditions, given = _narrowed(EventFilter(domain=domain, since=since, until=until))
        given["width"] = step_seconds(since, until, steps) * 1_000_000
        place = "intDiv(toUnixTimestamp64Micro(created_at) - {since:Int64}, {width:Int64})"
        rows = self._rows(
            f"SELECT domain, metric, {place} AS place, count(), count(success), countIf(success), "
            "count(value), sum(value), countIf(success IS NULL AND value IS NULL) "
            f"FROM kpi_event FINAL {_where(conditions)} GROUP BY domain, metric, place",
            given,
        )
        return series_of(rows)

    def newest_at(self) -> dt.datetime | None:
        span = self._span()
        return None if span is None else span[1]

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
        conditions, given = _narrowed(EventFilter(domain=domain, metric=metric, until=until))
        if since is not None:
            conditions.append(_at(">", "since"))
            given["since"] = microseconds(since)
        if kind is not None and among is None:
            conditions.append(_CARRYING[kind])
        most = among or limit
        wanted = EventFilter(since=since, until=until)
        rows = self._back("success, value, trace_id", conditions, given, most, self._windows(wanted, _A_WEEK))
        found = [Observation(row[1], _utc(row[2]), *row[3:]) for row in rows[:most]]
        return [event for event in found if kind is None or carries(event, kind)][:limit]

    def _page(self, table: str, conditions: list[str], given: Mapping[str, Any], limit: int) -> list[Event]:
        return [_event(row[1:]) for row in self._latest(table, ", ".join(_TOLD), conditions, given, limit)]

    def _back(
        self,
        columns: str,
        conditions: list[str],
        given: Mapping[str, Any],
        limit: int,
        windows: Iterator[tuple[int, int]],
    ) -> list[Any]:
        """Return what `_latest` does, looking into one window of time after the other until it is enough."""
        conditions = [*conditions, _at(">=", "window_since"), _at("<", "window_until")]
        found: list[Any] = []
        for since, until in windows:
            window = {"window_since": since, "window_until": until}
            found += self._latest("kpi_event", columns, conditions, {**given, **window}, limit - len(found))
            if len(found) >= limit:
                break
        return found

    def _latest(
        self, table: str, columns: str, conditions: list[str], given: Mapping[str, Any], limit: int
    ) -> list[Any]:
        """Return the latest rows, one an event: `limit`, and those that share the last one's id and time.

        Some more are read, for copies of an event come one after the other. `LIMIT 1 BY` would leave them out
        as well, but keeps the server from ending a read early.
        """
        query = f"SELECT fingerprint, id, created_at, {columns} FROM {table} {_where(conditions)} "
        query += "ORDER BY created_at DESC, id DESC LIMIT {most:UInt64}"
        most = limit + limit // 8 + _SPARE
        while True:
            rows = self._rows(query, {**given, "most": most})
            once = list({row[:2]: row for row in rows}.values())
            end = limit
            while end < len(once) and once[end][1:3] == once[limit - 1][1:3]:
                end += 1
            if end < len(once) or len(rows) < most:
                return once[:end]
            most *= 2

    def _windows(
        self, wanted: EventFilter, first_look: dt.timedelta, after: Cursor | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield ranges of time, in microseconds, from the latest to the earliest that may have an event."""
        span = self._span()
        if span is None:
            return
        first, end = microseconds(span[0]), microseconds(span[1]) + 1
        if wanted.since is not None:
            first = max(first, microseconds(wanted.since))
        if wanted.until is not None:
            end = min(end, microseconds(wanted.until))
        if after is not None:
            end = min(end, microseconds(after.created_at) + 1)
        width = first_look // _MICROSECOND
        while end > first:
            begin = max(first, end - width)
            yield begin, end
            end, width = begin, width * _WIDER

    def _span(self) -> tuple[dt.datetime, dt.datetime] | None:
        """Return when the earliest and the latest event happened; ClickHouse knows it without a look."""
        ((first, last, number),) = self._rows(
            "SELECT min(created_at), max(created_at), count() FROM kpi_event", {}
        )
        return (_utc(first), _utc(last)) if number else None

    def _rows(self, query: str, given: Mapping[str, Any]) -> Any:
        with told(self._url, query):
            return self._client.query(query, dict(given)).result_rows


def _narrowed(wanted: EventFilter) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions of a filter, and their parameters."""
    conditions: list[str] = []
    given: dict[str, Any] = {}
    for name in ("domain", "metric", "actor", "correlation_id"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(f"{name} = {{{name}:String}}")
            given[name] = value
    if wanted.success is not None:
        conditions.append("success" if wanted.success else "NOT success")
    for name, moment, comparison in (("since", wanted.since, ">="), ("until", wanted.until, "<")):
        if moment is not None:
            conditions.append(_at(comparison, name))
            given[name] = microseconds(moment)
    return conditions, given


def _where(conditions: list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _at(comparison: str, name: str) -> str:
    return f"created_at {comparison} fromUnixTimestamp64Micro({{{name}:Int64}}, 'UTC')"


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _event(row: Any) -> Event:
    id_, created_at, domain, metric, success, value, *more, detail = row
    parsed = None if detail is None else json.loads(detail)
    told = (id_, _utc(created_at), domain, metric, outcome_of(success, value), value, *more, parsed)
    return Event._make(told)
