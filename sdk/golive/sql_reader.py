"""Reads the events of SQLite and PostgreSQL, each method by ranges of an index."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Row,
    Select,
    SelectBase,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)

from golive.events import outcome_of
from golive.instants import microseconds
from golive.models import KpiEventRow
from golive.reader import Cursor, Event, EventFilter, MetricSummary, TimelineEntry, timeline_of
from golive.series import Series, series_of, step_seconds
from golive.tripwire import RATE, Observation

__all__ = ["SqlReader", "matching"]

_row = KpiEventRow
_key: Final = (_row.domain, _row.metric)
_OBSERVED: Final = (_row.id, _row.created_at, _row.success, _row.value, _row.trace_id)
_NEWEST_FIRST: Final = (_row.created_at.desc(), _row.id.desc())


class SqlReader:
    """A `golive.reader.EventReader` of the database a connection leads to.

    Args:
        connection: In a transaction or not; what it sees is what is read.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def events(self, wanted: EventFilter, limit: int, after: Cursor | None = None) -> list[Event]:
        by_time = wanted.domain is not None and wanted.metric is not None
        order = (_row.created_at, _row.id) if by_time else (_row.id,)
        query = select(_row.__table__).where(*matching(wanted))
        query = query.order_by(*(column.desc() for column in order)).limit(limit)
        if after is not None:
            bound = after if by_time else (after.id,)
            query = query.where(tuple_(*order) < tuple_(*bound))
        return self._events(query)

    def summary(
        self, since: dt.datetime | None = None, until: dt.datetime | None = None, domain: str | None = None
    ) -> list[MetricSummary]:
        query = _summed().where(*matching(EventFilter(since=since, until=until)))
        found = self._by_stream(query, domain, {})
        return [MetricSummary(*map(_plain, line)) for line in sorted(found, key=lambda line: tuple(line[:2]))]

    def timeline(self, correlation_id: str, limit: int | None = None) -> list[TimelineEntry]:
        query = (
            select(_row.__table__)
            .where(_row.correlation_id == correlation_id)
            .order_by(_row.created_at, _row.id)
            .limit(limit)
        )
        return timeline_of(self._events(query))

    def series(
        self, since: dt.datetime, until: dt.datetime, steps: int, domain: str | None = None
    ) -> list[Series]:
        given = {
            "since": since,
            "until": until,
            "start": microseconds(since) // 1_000_000,
            "width": step_seconds(since, until, steps),
        }
        return series_of(self._by_stream(_in_steps(self._connection.dialect.name), domain, given))

    def streams(self, domain: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield every (domain, metric) there is, in their order; one look into an index for each."""
        first = select(*_key).order_by(*_key).limit(1)
        if domain is not None:
            first = first.where(_row.domain == domain)
        read = self._connection.execute
        found = read(first).one_or_none()
        while found is not None:
            yield found[0], found[1]
            # In two steps, each a look: SQLite would walk through the domain for (domain, metric) > (…, …).
            within = first.where(_row.domain == found[0], _row.metric > found[1])
            after = first.where(_row.domain > found[0])
            found = read(within).one_or_none() or read(after).one_or_none()

    def newest_at(self) -> dt.datetime | None:
        at = (
            self._connection.scalar(
                select(_row.created_at)
                .where(_row.domain == domain, _row.metric == metric)
                .order_by(*_NEWEST_FIRST)
                .limit(1)
            )
            for domain, metric in self.streams()
        )
        return max((each for each in at if each is not None), default=None)

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
        query = (
            select(*_OBSERVED)
            .where(_row.domain == domain, _row.metric == metric)
            .order_by(*_NEWEST_FIRST)
            .limit(limit if kind is None else among)
        )
        if since is not None:
            query = query.where(_row.created_at > since)
        if until is not None:
            query = query.where(_row.created_at < until)
        return self._observations(query if kind is None else _carrying(kind, query, limit))

    def _by_stream(self, query: Select[Any], domain: str | None, given: dict[str, Any]) -> Iterator[Row[Any]]:
        """Yield what a query, grouped by stream, finds in all streams or in those of a domain."""
        if self._connection.dialect.name == "postgresql":
            if domain is not None:
                query = query.where(_row.domain == domain)
            with self._by_pages():
                found = self._connection.execute(query, given).all()
            yield from found
            return
        # It would read all of the index at once, where this skips from stream to stream.
        query = query.where(_row.domain == bindparam("domain"), _row.metric == bindparam("metric"))
        for of, metric in self.streams(domain):
            yield from self._connection.execute(query, given | {"domain": of, "metric": metric}).all()

    @contextmanager
    def _by_pages(self) -> Iterator[None]:
        """Let PostgreSQL read a range of time page by page, once each, and sort nothing, within the block.

        It takes the pages of such a range for scattered, and goes through the index of the streams instead,
        to the same page once for each stream; before its version 18 through all of that index. And it
        expects as many steps as events, and would sort them.
        """
        self._plan(enable_indexscan="off", enable_sort="off", random_page_cost="1")
        yield
        self._plan(enable_indexscan="DEFAULT", enable_sort="DEFAULT", random_page_cost="DEFAULT")

    def _plan(self, **settings: str) -> None:
        """Set what PostgreSQL plans by, until the end of the transaction."""
        told = "; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items())
        self._connection.exec_driver_sql(told)

    def _events(self, query: Select[Any]) -> list[Event]:
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
            for line in self._connection.execute(query)
        ]

    def _observations(self, query: Executable) -> list[Observation]:
        """Return what a query for `_OBSERVED` finds.

        It keeps PostgreSQL, until the end of the transaction, from reading a whole stream in order to sort
        it: that is what it plans for a table it has not analysed yet, of which it expects a handful of rows.
        """
        if self._connection.dialect.name == "postgresql":
            self._plan(enable_sort="off")
        return list(map(Observation._make, self._connection.execute(query).all()))


def matching(wanted: EventFilter) -> list[ColumnElement[bool]]:
    """Return the conditions for the events a filter wants."""
    conditions = [
        getattr(_row, field) == value
        for field in ("domain", "metric", "success", "actor", "correlation_id")
        if (value := getattr(wanted, field)) is not None
    ]
    if wanted.since is not None:
        conditions.append(_row.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(_row.created_at < wanted.until)
    return conditions


def _summed() -> Select[Any]:
    undecided = _row.success.is_(None)
    return select(
        *_key,
        func.count(),
        _count(_row.success.is_(True)),
        _count(_row.success.is_(False)),
        _count(undecided & _row.value.is_not(None)),
        _count(undecided & _row.value.is_(None)),
        func.sum(_row.value),
        func.avg(_row.value),
        func.min(_row.created_at),
        func.max(_row.created_at),
    ).group_by(*_key)


def _carrying(kind: str, query: SelectBase, limit: int) -> Executable:
    there = query.subquery()
    told = (
        there.c.success.is_not(None)
        if kind == RATE
        else there.c.success.is_(None) & there.c.value.is_not(None)
    )
    return select(there).where(told).order_by(there.c.created_at.desc(), there.c.id.desc()).limit(limit)


def _in_steps(dialect: str) -> Select[Any]:
    since_start = _unix_second(dialect) - bindparam("start", type_=BigInteger)
    place = (since_start // bindparam("width", type_=BigInteger)).label("place")
    cancelled = _row.success.is_(None) & _row.value.is_(None)
    return (
        select(
            *_key,
            place,
            func.count(),
            func.count(_row.success),
            func.coalesce(func.sum(cast(_row.success, Integer)), 0),
            func.count(_row.value),
            func.sum(_row.value),
            func.count(case((cancelled, 1))),
        )
        .where(_row.created_at >= bindparam("since"), _row.created_at < bindparam("until"))
        .group_by(*(_key if dialect == "postgresql" else ()), literal_column("place"))
    )


def _unix_second(dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return cast(func.floor(func.date_part("epoch", _row.created_at)), BigInteger)
    # Without the fraction, which SQLite would round to the next second.
    return cast(func.strftime("%s", func.substr(_row.created_at, 1, 19)), BigInteger)


def _count(condition: Any) -> Any:
    return func.count(case((condition, 1)))


def _plain(value: Any) -> Any:
    """Return PostgreSQL's exact sums of whole numbers as the integers they are."""
    return int(value) if value.__class__.__name__ == "Decimal" else value
