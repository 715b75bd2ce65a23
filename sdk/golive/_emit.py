"""From the arguments of a helper to an event in the pipeline: the path every KPI event takes."""

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, Status, StatusCode

from golive import names, pipeline
from golive.correlation import current_correlation_id
from golive.detail import to_json_text
from golive.errors import SpoolFull
from golive.events import KpiEvent, check_actor, check_correlation_id, check_domain, check_metric, outcome_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from golive._pipeline import Pipeline

_log = logging.getLogger(__name__)

_checked: set[tuple[object, object]] = set()
_CHECKED_MAX = 10_000


class Subject(NamedTuple):
    """What an event is about, checked."""

    domain: str
    metric: str
    actor: str | None
    correlation_id: str | None
    inherited: bool
    """Whether the correlation id was in force, not given."""

    @classmethod
    def check(cls, domain: object, metric: object, actor: object, correlation_id: object) -> "Subject":
        """Return the subject, its correlation id by default the one in force; raises `InvalidEvent`."""
        if domain.__class__ is not str or metric.__class__ is not str or (domain, metric) not in _checked:
            check_domain(domain)
            check_metric(metric)
            if len(_checked) < _CHECKED_MAX:
                _checked.add((domain, metric))
        given = check_correlation_id(correlation_id)
        in_force = current_correlation_id() if given is None else None
        return cls(
            domain,  # type: ignore[arg-type]
            metric,  # type: ignore[arg-type]
            check_actor(actor),
            given or in_force,
            in_force is not None,
        )

    @classmethod
    def check_given(cls, domain: object, metric: object, actor: object, correlation_id: object) -> "Subject":
        """Return the subject with no correlation id but the one given; raises `InvalidEvent`."""
        return cls(
            check_domain(domain),
            check_metric(metric),
            check_actor(actor),
            check_correlation_id(correlation_id),
            False,
        )

    @property
    def span_name(self) -> str:
        return f"kpi {self.domain}.{self.metric}"

    def attributes(self) -> dict[str, str | int | float]:
        """Return the span attributes that are known from the start."""
        attributes: dict[str, str | int | float] = {names.DOMAIN: self.domain, names.METRIC: self.metric}
        if self.actor is not None:
            attributes[names.ACTOR] = self.actor
        if self.correlation_id is not None:
            attributes[names.CORRELATION_ID] = self.correlation_id
        return attributes


def session_of(db: object) -> "Session | None":
    """Return the session behind `db`; raises `InvalidEvent` if it is none."""
    if db is None:
        return None
    # Imported here, for a caller that passes a session has paid for SQLAlchemy already.
    from golive import transactions

    return transactions.session_of(db)


def emit(
    db: object,
    domain: object,
    metric: object,
    success: bool | None,
    value: float | None,
    actor: object,
    correlation_id: object,
    detail: object,
) -> int:
    """Check the arguments, make the span, and record the event; return its id."""
    subject = Subject.check(domain, metric, actor, correlation_id)
    session = session_of(db)
    event_id = pipeline.next_id()
    try:
        running = pipeline.current(db)
        if running is None:
            pipeline.discard(names.DISCARD_ERROR)
        else:
            context = _instant_span(running, event_id, subject, success, value)
            record(running, session, event_id, subject, success, value, detail, context)
    except SpoolFull:
        raise
    except Exception:
        failed()
    return event_id


def record(
    running: "Pipeline",
    session: "Session | None",
    event_id: int,
    subject: Subject,
    success: bool | None,
    value: float | None,
    detail: object,
    context: SpanContext,
    duration_ms: float | None = None,
    may_raise: bool = True,
) -> None:
    """Build the event of this moment and give it to the pipeline."""
    event = _event(running, event_id, subject, success, value, detail, context, duration_ms, time.time_ns())
    running.record(event, session, may_raise=may_raise)


def instant_event(
    running: "Pipeline",
    event_id: int,
    subject: Subject,
    success: bool | None,
    value: float | None,
    detail: object,
    created_ns: int,
) -> KpiEvent:
    """Make the span and the event of something that happened at `created_ns`; do not record it."""
    context = _instant_span(running, event_id, subject, success, value)
    return _event(running, event_id, subject, success, value, detail, context, None, created_ns)


def _event(
    running: "Pipeline",
    event_id: int,
    subject: Subject,
    success: bool | None,
    value: float | None,
    detail: object,
    context: SpanContext,
    duration_ms: float | None,
    created_ns: int,
) -> KpiEvent:
    traced = context.is_valid
    return KpiEvent(
        event_id,
        pipeline.emitter(),
        subject.domain,
        subject.metric,
        success,
        value,
        subject.actor,
        subject.correlation_id,
        to_json_text(detail, running.settings.detail_max_bytes),
        f"{context.trace_id:032x}" if traced else None,
        f"{context.span_id:016x}" if traced else None,
        traced and context.trace_flags.sampled,
        duration_ms,
        created_ns,
    )


def failed() -> None:
    """Log and count a bug of golive's own, within an `except` clause: the business goes on (E6)."""
    _log.exception("golive failed to record a KPI event")
    pipeline.discard(names.DISCARD_ERROR)


def _instant_span(
    running: "Pipeline", event_id: int, subject: Subject, success: bool | None, value: float | None
) -> SpanContext:
    attributes = subject.attributes()
    attributes[names.EVENT_ID] = event_id
    attributes[names.OUTCOME] = outcome_of(success, value)
    if value is not None:
        attributes[names.VALUE] = value
    try:
        if subject.inherited:
            running.telemetry.stamp_spans()
        span = running.telemetry.tracer.start_span(subject.span_name, attributes=attributes)
        if success is False:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        return span.get_span_context()
    except Exception:
        _log.exception("an OpenTelemetry span could not be made; the KPI event is recorded without")
        return INVALID_SPAN_CONTEXT
