"""The raw OpenTelemetry triple: a span, a counter, and a log record in the span's trace."""

import time
from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AnyValue

from golive.otel_logs import SdkLoggerProvider, SeverityNumber

_LABELS = {"domain": "WHOLESALE", "metric": "offer_sent", "outcome": "success"}


def raw_triple(
    traces: TracerProvider, metrics: MeterProvider, logs: SdkLoggerProvider
) -> Callable[[Mapping[str, AnyValue]], None]:
    """Return a call that makes all three, with the attributes it is given."""
    tracer, logger = traces.get_tracer("raw"), logs.get_logger("raw")
    counter = metrics.get_meter("raw").create_counter("kpi.events")

    def emit(attributes: Mapping[str, AnyValue]) -> None:
        span = tracer.start_span("kpi WHOLESALE.offer_sent", attributes=attributes)
        context = trace.set_span_in_context(span)
        span.end()
        counter.add(1, _LABELS)
        logger.emit(
            timestamp=time.time_ns(),
            context=context,
            severity_number=SeverityNumber.INFO,
            event_name="kpi.event",
            attributes=attributes,
        )

    return emit
