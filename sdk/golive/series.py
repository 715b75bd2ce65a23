"""Rates per metric over a range of time, in steps: what a chart of them is drawn from.

with governance.reading(db, "events") as connection:
    for each in series(connection, since, until, steps=48):
        each.success_rate, each.steps[-1].events

From ranges of an index, never the whole table: it costs what the range holds.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.sql.selectable import Select

from golive.models import KpiEventRow

__all__ = ["Series", "Step", "newest_at", "series", "streams"]

_row = KpiEventRow
_key: Final = (_row.domain, _row.metric)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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
    """A stream in the range; its figures are those of `reader.summary`."""

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


def streams(connection: Connection, domain: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield every (domain, metric) there is, in their order; one look into an index for each."""
    first = select(*_key).order_by(*_key).limit(1)
    if domain is not None:
        first = first.where(_row.domain == domain)
    found = connection.execute(first).one_or_none()
    while found is not None:
        yield found[0], found[1]
        # In two steps, each a look: SQLite would walk through the domain for (domain, metric) > (…, …).
        within = first.where(_row.domain == found[0], _row.metric > found[1])
        after = first.where(_row.domain > found[0])
        found = connection.execute(within).one_or_none() or connection.execute(after).one_or_none()


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
    """Return every stream with events from `since` to before `until`, by its domain and metric.

    Args:
        connection: To read from.
        since: A whole second.
        until: Later.
        steps: How many of equal length there are, each of whole seconds.
        domain: Of this one alone.
    """
    width_s = max(1, math.ceil((until - since).total_seconds() / steps))
    given = {
        "since": since,
        "until": until,
        "start": (since - _EPOCH) // dt.timedelta(seconds=1),
        "width": width_s,
    }
    query = _in_steps(connection.dialect.name)
    if connection.dialect.name == "postgresql":
        if domain is not None:
            query = query.where(_row.domain == domain)
        rows = connection.execute(query, given).all()
    else:  # which would read all of the index at once, where this skips from stream to stream
        query = query.where(_row.domain == bindparam("domain"), _row.metric == bindparam("metric"))
        rows = [
            row
            for of, metric in streams(connection, domain)
            for row in connection.execute(query, given | {"domain": of, "metric": metric})
        ]
    ordered = sorted(rows, key=lambda row: row[:3])
    return [
        Series(of, metric, [_step(row) for row in found])
        for (of, metric), found in groupby(ordered, key=lambda row: tuple(row[:2]))
    ]


def _step(row: Row[Any]) -> Step:
    _, _, place, events, decided, successes, valued, value_sum, cancelled = tuple(row)
    return Step(place, events, decided, successes, valued, value_sum or 0.0, cancelled)


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
