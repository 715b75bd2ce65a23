"""What one KPI event costs its caller, against the raw OpenTelemetry triple: span, counter, log record.

Both sides have batch processors with null exporters, and the same attributes. golive's side is durable when
the call returns, and its drain delivers to SQLite meanwhile.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench._rounds import Comparison, compare, per_call
from bench._triple import raw_triple
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.util.types import AnyValue

from golive import pipeline
from golive.kpi import kpi_success
from golive.otel_logs import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
    ReadableLogRecord,
    SdkLoggerProvider,
)

CALLS = 1500
ROUNDS = 40

_ATTRIBUTES: dict[str, AnyValue] = {
    "golive.domain": "WHOLESALE",
    "golive.metric": "offer_sent",
    "golive.outcome": "success",
    "golive.actor": "broker",
    "golive.correlation_id": "deal_123",
    "golive.event_id": 912_705_600_848_992_871,
}


class NullSpans(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class NullLogs(LogRecordExporter):
    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def shutdown(self) -> None:
        pass


def providers(sampler: Sampler) -> tuple[TracerProvider, MeterProvider, SdkLoggerProvider]:
    """Return fresh providers with batch processors and null exporters."""
    tracer_provider = TracerProvider(sampler=sampler)
    tracer_provider.add_span_processor(BatchSpanProcessor(NullSpans()))
    logger_provider = SdkLoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(NullLogs()))
    return tracer_provider, MeterProvider([InMemoryMetricReader()]), logger_provider


def kpi_event() -> None:
    """Record the same by golive."""
    kpi_success(None, "WHOLESALE", "offer_sent", actor="broker", correlation_id="deal_123")


def measure(sampler: Sampler, folder: Path) -> Comparison:
    """Compare an emit under `sampler` with the sampled raw triple."""
    tracer_provider, meter_provider, logger_provider = providers(sampler)
    pipeline.configure(
        f"sqlite:///{folder}/golive.db",
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        spool_dir=folder / "spool",
    )
    triple = partial(raw_triple(*providers(ALWAYS_ON)), _ATTRIBUTES)

    def theirs() -> float:
        # The drain must not work off golive's round in the time of the other side's.
        assert pipeline.flush(60)
        return per_call(triple, CALLS)

    compared = compare(lambda: per_call(kpi_event, CALLS), theirs, ROUNDS)
    pipeline.shutdown()
    return compared


def main() -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, sampler, target in (("sampled", ALWAYS_ON, 0.75), ("trace not sampled", ALWAYS_OFF, 0.4)):
            result = measure(sampler, Path(folder))
            lines.append(
                f"| emit, durable, {name} | {result.ours * 1e6:.1f} µs | raw OpenTelemetry triple, sampled "
                f"| {result.theirs * 1e6:.1f} µs | {result.ratio:.2f} | at most {target} |"
            )
    return lines
