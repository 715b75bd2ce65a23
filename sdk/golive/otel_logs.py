"""The only module that imports OpenTelemetry's logs API, which is still unstable (`_logs`).

`to_record` and `from_record` turn a KPI event into the log record it travels as, and back.
"""

from typing import Any

from opentelemetry import trace
from opentelemetry._logs import (
    Logger,
    LoggerProvider,
    LogRecord,
    SeverityNumber,
    get_logger_provider,
)
from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from golive import names
from golive.events import KpiEvent

__all__ = [
    "SUCCESS_OF",
    "BatchLogRecordProcessor",
    "InMemoryLogRecordExporter",
    "LogRecord",
    "LogRecordExportResult",
    "LogRecordExporter",
    "Logger",
    "LoggerProvider",
    "ReadableLogRecord",
    "SdkLoggerProvider",
    "SeverityNumber",
    "SimpleLogRecordProcessor",
    "from_record",
    "get_logger_provider",
    "is_own",
    "readable",
    "to_record",
]

_SCOPE = InstrumentationScope(names.SCOPE)
_EMPTY_RESOURCE = Resource({})
SUCCESS_OF = {names.SUCCESS: True, names.FAILURE: False, names.VALUE_OUTCOME: None, names.CANCELLED: None}
"""The success flag of each outcome."""


def to_record(event: KpiEvent) -> LogRecord:
    """Return the OpenTelemetry event that carries `event`: name `kpi.event`, everything in attributes."""
    attributes: dict[str, Any] = {
        names.EVENT_ID: event.id,
        names.EMITTER: event.emitter,
        names.DOMAIN: event.domain,
        names.METRIC: event.metric,
        names.OUTCOME: event.outcome,
        names.VALUE: event.value,
        names.ACTOR: event.actor,
        names.CORRELATION_ID: event.correlation_id,
        names.DETAIL: event.detail,
        names.DURATION_MS: event.duration_ms,
    }
    attributes = {key: value for key, value in attributes.items() if value is not None}
    record = LogRecord(
        timestamp=event.created_ns,
        severity_number=SeverityNumber.ERROR if event.success is False else SeverityNumber.INFO,
        attributes=attributes,
        event_name=names.EVENT_NAME,
    )
    # Set here, because the constructor takes them from the context of the thread that happens to call it.
    record.trace_id = int(event.trace_id, 16) if event.trace_id else trace.INVALID_TRACE_ID
    record.span_id = int(event.span_id, 16) if event.span_id else trace.INVALID_SPAN_ID
    record.trace_flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if event.sampled else 0)
    return record


def readable(record: LogRecord) -> ReadableLogRecord:
    """Return the record in the form exporters take."""
    return ReadableLogRecord(record, _EMPTY_RESOURCE, _SCOPE)


def is_own(record: ReadableLogRecord) -> bool:
    """Return whether `readable` made the record in this process: its event has been checked."""
    return record.instrumentation_scope is _SCOPE


def from_record(readable: ReadableLogRecord) -> KpiEvent | None:
    """Return the KPI event a log record carries; None for any other log record.

    Raises:
        KeyError, ValueError: It is named `kpi.event` and lacks what a KPI event must have.
    """
    record = readable.log_record
    if record.event_name != names.EVENT_NAME:
        return None
    attributes: Any = record.attributes or {}
    get = attributes.get
    timestamp = record.timestamp or record.observed_timestamp
    if not timestamp:
        raise ValueError("timestamp: expected a time in nanoseconds, got none")
    trace_flags = record.trace_flags
    return KpiEvent(
        id=attributes[names.EVENT_ID],
        emitter=attributes[names.EMITTER],
        domain=attributes[names.DOMAIN],
        metric=attributes[names.METRIC],
        success=SUCCESS_OF[attributes[names.OUTCOME]],
        value=get(names.VALUE),
        actor=get(names.ACTOR),
        correlation_id=get(names.CORRELATION_ID),
        detail=get(names.DETAIL),
        trace_id=f"{record.trace_id:032x}" if record.trace_id else None,
        span_id=f"{record.span_id:016x}" if record.span_id else None,
        sampled=bool(trace_flags and trace_flags.sampled),
        duration_ms=get(names.DURATION_MS),
        created_ns=timestamp,
    )
