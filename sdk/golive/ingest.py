"""Takes outcomes that came from elsewhere, over HTTP for one: all or none, and durable when it returns."""

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from golive import _emit, pipeline
from golive._emit import Subject
from golive.errors import InvalidEvent, SpoolFull
from golive.events import check_success, check_value

__all__ = ["Outcome", "record"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_AHEAD_S = 3600.0


class Outcome(NamedTuple):
    """What happened, with the names and rules of `golive.kpi.emit_kpi`; `occurred_at` is now if None."""

    domain: str
    metric: str
    success: bool | None = None
    value: float | None = None
    actor: str | None = None
    correlation_id: str | None = None
    detail: Any = None
    occurred_at: dt.datetime | None = None


def record(outcomes: Sequence[Outcome]) -> list[int]:
    """Record them in order; return their ids once they would survive the death of this process.

    Raises:
        InvalidEvent: One cannot be an event; none was recorded. Its `field` is `events[3].domain`.
        SpoolFull: There is no room, whatever the policy for helpers is; none was recorded.
    """
    checked = [_checked(index, outcome) for index, outcome in enumerate(outcomes)]
    running = pipeline.current()
    if running is None:
        raise SpoolFull("KPI events cannot be recorded: the pipeline cannot start; the log says why")
    events = [
        _emit.instant_event(
            running, pipeline.next_id(), subject, outcome.success, outcome.value, outcome.detail, created_ns
        )
        for subject, outcome, created_ns in checked
    ]
    running.record_all(events)
    return [event.id for event in events]


def _checked(index: int, outcome: Outcome) -> tuple[Subject, Outcome, int]:
    try:
        # Only the id that is given: the one in force is of the request that brought all of them.
        subject = Subject.check_given(outcome.domain, outcome.metric, outcome.actor, outcome.correlation_id)
        check_success(outcome.success)
        return subject, outcome._replace(value=check_value(outcome.value)), _created_ns(outcome.occurred_at)
    except InvalidEvent as error:
        raise InvalidEvent(f"events[{index}].{error.field}", error.expected, error.got) from None


def _created_ns(occurred_at: dt.datetime | None) -> int:
    now = time.time_ns()
    if occurred_at is None:
        return now
    microseconds = (occurred_at - _EPOCH) // dt.timedelta(microseconds=1)
    if not 0 <= microseconds * 1000 <= now + _AHEAD_S * 1e9:
        raise InvalidEvent(
            "occurred_at", "a time since 1970, at most an hour ahead of this clock", occurred_at.isoformat()
        )
    return microseconds * 1000
