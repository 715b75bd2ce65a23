"""Takes outcomes that came from elsewhere, over HTTP for one: all or none, and durable when it returns.

`record` makes events of them, here and now. `take` is for events that were made elsewhere, and may be sent
again by whoever got no answer.
"""

import datetime as dt
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from golive import _emit, pipeline
from golive._emit import Subject
from golive.detail import to_json_text
from golive.errors import InvalidEvent, SpoolFull
from golive.events import KpiEvent, check_success, check_value
from golive.instants import microseconds

if TYPE_CHECKING:
    from golive._pipeline import Pipeline

__all__ = ["Origin", "Outcome", "event_of", "record", "take"]

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


class Origin(NamedTuple):
    """What an event has from where it was made.

    Attributes:
        id: 63 bits.
        emitter: 63 bits; tells apart two events that have one id.
        created_ns: When it happened, Unix time in nanoseconds.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: Whether the trace was.
        duration_ms: How long it took, where it was a step.
    """

    id: int
    emitter: int
    created_ns: int
    trace_id: str | None = None
    span_id: str | None = None
    sampled: bool = False
    duration_ms: float | None = None


def record(outcomes: Sequence[Outcome]) -> list[int]:
    """Record them in order; return their ids once they would survive the death of this process.

    Raises:
        InvalidEvent: One cannot be an event; none was recorded. Its `field` is `events[3].domain`.
        SpoolFull: There is no room, whatever the policy for helpers is; none was recorded.
    """
    checked = [_checked(index, outcome) for index, outcome in enumerate(outcomes)]
    running = _running()
    events = [
        _emit.instant_event(
            running, pipeline.next_id(), subject, outcome.success, outcome.value, outcome.detail, created_ns
        )
        for subject, outcome, created_ns in checked
    ]
    running.record_all(events)
    return [event.id for event in events]


def event_of(outcome: Outcome, origin: Origin) -> KpiEvent:
    """Return the event of an outcome whose id and span were made elsewhere, its detail redacted.

    Raises:
        InvalidEvent: It cannot be one.
        SpoolFull: The pipeline cannot start, and so what is secret cannot be known.
    """
    subject = Subject.check_given(outcome.domain, outcome.metric, outcome.actor, outcome.correlation_id)
    check_success(outcome.success)
    value, duration_ms = check_value(outcome.value), check_value(origin.duration_ms)
    if duration_ms is not None and duration_ms < 0:
        raise InvalidEvent("duration_ms", "a number not below 0", f"{duration_ms}")
    _check_time("created_ns", origin.created_ns, f"{origin.created_ns}")
    return KpiEvent(
        origin.id,
        origin.emitter,
        subject.domain,
        subject.metric,
        outcome.success,
        value,
        subject.actor,
        subject.correlation_id,
        to_json_text(outcome.detail, _running().settings.detail_max_bytes),
        origin.trace_id,
        origin.span_id,
        origin.sampled,
        duration_ms,
        origin.created_ns,
    )


def take(events: Sequence[KpiEvent]) -> int:
    """Record those events of `event_of` that were not taken before; return how many.

    They would survive the death of this process when it returns. What is in the store already, or was taken
    by this process lately, is neither recorded nor counted again. An event that another process has taken and
    not yet delivered is counted again; its row is still written once (E5).

    Raises:
        SpoolFull: There is no room, whatever the policy for helpers is; none was recorded.
    """
    return _running().record_once(events)


def _running() -> "Pipeline":
    running = pipeline.current()
    if running is None:
        raise SpoolFull("KPI events cannot be recorded: the pipeline cannot start; the log says why")
    return running


def _checked(index: int, outcome: Outcome) -> tuple[Subject, Outcome, int]:
    try:
        # Only the id that is given: the one in force is of the request that brought all of them.
        subject = Subject.check_given(outcome.domain, outcome.metric, outcome.actor, outcome.correlation_id)
        check_success(outcome.success)
        return subject, outcome._replace(value=check_value(outcome.value)), _created_ns(outcome.occurred_at)
    except InvalidEvent as error:
        raise InvalidEvent(f"events[{index}].{error.field}", error.expected, error.got) from None


def _created_ns(occurred_at: dt.datetime | None) -> int:
    if occurred_at is None:
        return time.time_ns()
    created_ns = microseconds(occurred_at) * 1000
    _check_time("occurred_at", created_ns, occurred_at.isoformat())
    return created_ns


def _check_time(field: str, unix_ns: int, shown: str) -> None:
    if not 0 <= unix_ns <= time.time_ns() + _AHEAD_S * 1e9:
        raise InvalidEvent(field, "a time since 1970, at most an hour ahead of this clock", shown)
