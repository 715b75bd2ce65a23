"""Rates per metric over a range of time, in steps: what a chart of them is drawn from.

with governance.reading(db, "events") as connection:
    for each in series(connection, since, until, steps=48):
        each.summary.success_rate, each.steps[-1].success_rate

One range of an index for each stream, and never the whole table: it costs what the range holds.
"""

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, case, cast, func, select, tuple_
from sqlalchemy.sql.selectable import Select

from golive.models import KpiEventRow
from golive.reader import MetricSummary

__all__ = ["Series", "Step", "newest_at", "series", "streams"]

_row = KpiEventRow
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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


def streams(connection: Connection, domain: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield every (domain, metric) there is, in their order; one look into an index for each."""
    key = (_row.domain, _row.metric)
    query = select(*key).order_by(*key).limit(1)
    if domain is not None:
        query = query.where(_row.domain == domain)
    found = connection.execute(query).one_or_none()
    while found is not None:
        yield found[0], found[1]
        found = connection.execute(query.where(tuple_(*key) > tuple_(*found))).one_or_none()


def newest_at(connection: Connection) -> dt.datetime | None:
    """Return when the newest event happened; None where there is none."""
    at = (
        connection.scalar(
            select(_row.created_at)
            .where(_row.domain == domain, _row.metric == metric)
            .order_by(_row.created_at.desc(), _row.id.desc())
            .limit(1)
        )
        for domain, metric in streams(connection)
    )
    return max((each for each in at if each is not None), default=None)


def series(
    connection: Connection, since: dt.datetime, until: dt.datetime, steps: int, domain: str | None = None
) -> list[Series]:
    """Return every stream with events from `since` to before `until`.

    Args:
        connection: To read from.
        since: A whole second.
        until: Later.
        steps: How many of equal length there are, each of whole seconds.
        domain: Of this one alone.
    """
    query = _in_steps(connection.dialect.name)
    start = (since - _EPOCH) // dt.timedelta(seconds=1)
    width = step_seconds(since, until, steps)
    made = []
    for of_domain, metric in streams(connection, domain):
        given = {"domain": of_domain, "metric": metric, "since": since, "until": until}
        rows = connection.execute(query, given | {"start": start, "width": width}).all()
        if rows:
            made.append(_series(of_domain, metric, rows))
    return made


def step_seconds(since: dt.datetime, until: dt.datetime, steps: int) -> int:
    """Return how many seconds a step has."""
    return max(1, math.ceil((until - since).total_seconds() / steps))


def _in_steps(dialect: str) -> Select[Any]:
    since_start = _unix_second(dialect) - bindparam("start", type_=BigInteger)
    label = (since_start // bindparam("width", type_=BigInteger)).label("place")
    undecided = _row.success.is_(None)
    return (
        select(
            label,
            func.count(),
            _count(_row.success.is_(True)),
            _count(_row.success.is_(False)),
            _count(undecided & _row.value.is_not(None)),
            _count(undecided & _row.value.is_(None)),
            func.count(_row.value),
            func.sum(_row.value),
            func.min(_row.created_at),
            func.max(_row.created_at),
        )
        .where(
            _row.domain == bindparam("domain"),
            _row.metric == bindparam("metric"),
            _row.created_at >= bindparam("since"),
            _row.created_at < bindparam("until"),
        )
        .group_by(label)
        .order_by(label)
    )


def _unix_second(dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return cast(func.floor(func.date_part("epoch", _row.created_at)), BigInteger)
    # Without the fraction, which SQLite would round to the next second.
    return cast(func.strftime("%s", func.substr(_row.created_at, 1, 19)), BigInteger)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _series(domain: str, metric: str, rows: Any) -> Series:
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
