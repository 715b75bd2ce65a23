"""What may go: events older than the retention, but for those a tripwire still reads."""

import datetime as dt
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from golive.errors import InvalidArgument
from golive.ids import id_at
from golive.instants import EPOCH, microseconds
from golive.models import KpiEventRow, RegressionPolicy
from golive.regression import events
from golive.regression.judging import AHEAD_S
from golive.tripwire.calibration import LARGEST_BASELINE, LARGEST_WINDOW

DAYS_MAX: Final = 36_525

Stream = tuple[str, str]
"""A domain and a metric."""


class Place(NamedTuple):
    """Where an event stands in its stream."""

    created_at: dt.datetime
    id: int


class Retention(NamedTuple):
    """Which events may go.

    Attributes:
        before: What happened from then on stays.
        below_id: What was recorded from then on stays: ids from this one on.
        floors: Of the streams that have a tripwire, the oldest event it may read; None: all stay.
    """

    before: dt.datetime
    below_id: int
    floors: dict[Stream, Place | None]

    def is_old(self, created_at: dt.datetime) -> bool:
        """Tell whether an event with an id that is old enough happened long enough ago, too."""
        return created_at < self.before

    def is_read(self, stream: Stream, place: Place) -> bool:
        """Tell whether a tripwire may still read an event."""
        if stream not in self.floors:
            return False
        floor = self.floors[stream]
        return floor is None or place >= floor


def cutoff(days: int, now: dt.datetime) -> dt.datetime:
    """Return the instant before which events are too old.

    Raises:
        InvalidArgument: There is no such retention.
    """
    if not 1 <= days <= DAYS_MAX:
        raise InvalidArgument("retention_days", f"1 to {DAYS_MAX} days", str(days)[:60])
    return max(now - dt.timedelta(days=days), EPOCH)


def first_id(moment: dt.datetime) -> int:
    """Return the smallest id that golive gives from a moment on."""
    return id_at(microseconds(moment) // 1000, 0)


def retention(connection: Connection, days: int, now: dt.datetime) -> Retention:
    """Return what may go at `now` if events are kept for so many days.

    Raises:
        InvalidArgument: There is no such retention.
    """
    before = cutoff(days, now)
    return Retention(before, first_id(before), floors(connection, now))


def floors(connection: Connection, now: dt.datetime) -> dict[Stream, Place | None]:
    """Return, for every stream that has a tripwire, enabled or not, the oldest event it may read.

    However its policy is changed within the bounds of `confirmed` mode, and whatever share of its events are
    of the kind it judges, an evaluation finds the same with what is older as without.
    """
    policy = RegressionPolicy
    found: dict[Stream, Place | None] = {}
    for line in connection.execute(
        select(
            policy.domain,
            policy.metric,
            policy.window_events,
            policy.baseline_events,
            policy.min_events_to_enforce,
        )
    ).all():
        windows = max(
            LARGEST_WINDOW + LARGEST_BASELINE,
            line.window_events + line.baseline_events,
            line.min_events_to_enforce,
        )
        found[line.domain, line.metric] = _floor(connection, line.domain, line.metric, windows, now)
    return found


def _floor(connection: Connection, domain: str, metric: str, needed: int, now: dt.datetime) -> Place | None:
    """Return the oldest event `events.newest` looks at for `needed` ones; None if there are fewer."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_sort = off")  # see `SqlReader`
    until = now + dt.timedelta(seconds=AHEAD_S)
    row = KpiEventRow
    place = connection.execute(
        select(row.created_at, row.id)
        .where(row.domain == domain, row.metric == metric, row.created_at < until)
        .order_by(row.created_at.desc(), row.id.desc())
        .offset(needed * events.LOOKED_AT - 1)
        .limit(1)
    ).first()
    return None if place is None else Place(*place)
