"""Where each tripwire stands: its last verdict, and whether it is tripped."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from golive.models import RegressionState
from golive.tripwire import PinnedBaseline

_row = RegressionState


class RegressionStateView(NamedTuple):
    """The state as it is stored.

    Attributes:
        domain, metric: Of which stream.
        triggered: The latch: set by a trip, released by a person.
        verdict: The last one; while the latch is set, how the stream does beside the frozen baseline. None
            where it was not judged since it was made or re-armed.
        baseline, current, drop_fraction: The figures of that verdict.
        evidence: The whole finding of the last evaluation; while the latch is set, that of the trip.
        frozen_baseline: What a trip was measured against; in force until the probation ends.
        trips: Trips since the last probation that ended well: the step reached on the ladder.
        shadow_trips: How often a policy in shadow would have tripped.
        throttled_from: What the engine had before this wire throttled it.
        last_event_id: The newest event that was judged.
        last_checked_at: When.
        last_triggered_at: When it tripped last, or would have.
        rearmed_at: When it was re-armed last; events up to then count no more.
        rearmed_by: By whom.
        note: Why, in a sentence.
        version: How often the latch was set or released, and 1; 0 where nothing is stored yet.
    """

    domain: str
    metric: str
    triggered: bool = False
    verdict: str | None = None
    baseline: float | None = None
    current: float | None = None
    drop_fraction: float | None = None
    evidence: Any = None
    frozen_baseline: Any = None
    trips: int = 0
    shadow_trips: int = 0
    throttled_from: Any = None
    last_event_id: int | None = None
    last_checked_at: dt.datetime | None = None
    last_triggered_at: dt.datetime | None = None
    rearmed_at: dt.datetime | None = None
    rearmed_by: str | None = None
    note: str | None = None
    version: int = 0

    def frozen(self) -> PinnedBaseline | None:
        """Return the frozen baseline."""
        return None if self.frozen_baseline is None else PinnedBaseline.from_json(self.frozen_baseline)


_COLUMNS: Final = tuple(getattr(_row, name) for name in RegressionStateView._fields)


def states(connection: Connection) -> list[RegressionStateView]:
    """Return where every wire stands that was ever judged, by its domain and metric."""
    return [RegressionStateView(*row) for row in connection.execute(_all())]


def state_of(connection: Connection, domain: str, metric: str) -> RegressionStateView:
    """Return where a wire stands; version 0 where it was never judged."""
    found = connection.execute(_all().where(_row.domain == domain, _row.metric == metric)).one_or_none()
    return RegressionStateView(domain, metric) if found is None else RegressionStateView(*found)


def locked(connection: Connection, domain: str, metric: str) -> RegressionStateView:
    """Return where a wire stands, which nobody else can change until the transaction ends."""
    write(connection, RegressionStateView(domain, metric), {})
    at = (_row.domain == domain) & (_row.metric == metric)
    return RegressionStateView(*connection.execute(_all().where(at).with_for_update()).one())


def write(connection: Connection, seen: RegressionStateView, values: Mapping[str, Any]) -> bool:
    """Change a state if it is still the one that was seen; return whether it was.

    It needs no lock: whoever set or released the latch meanwhile has the last word.
    """
    if seen.version:
        at = (_row.domain == seen.domain) & (_row.metric == seen.metric) & (_row.version == seen.version)
        return connection.execute(update(_row).where(at).values(dict(values))).rowcount == 1
    row = {"domain": seen.domain, "metric": seen.metric} | dict(values)
    row.setdefault("version", 1)
    into = postgresql.insert(_row) if connection.dialect.name == "postgresql" else sqlite.insert(_row)
    made = connection.execute(into.values(row).on_conflict_do_nothing(index_elements=["domain", "metric"]))
    return made.rowcount == 1


def _all() -> Any:
    return select(*_COLUMNS).order_by(_row.domain, _row.metric)
