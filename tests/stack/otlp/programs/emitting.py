"""A business that emits KPI events one after another, and says how many it has; OTEL_* says where its telemetry goes.

python -m tests.stack.otlp.programs.emitting COUNT own|application
"""

import sys
import time

from opentelemetry import trace

from golive import pipeline
from golive.kpi import emit_kpi, kpi_timed_step


def main() -> None:
    count, providers = int(sys.argv[1]), sys.argv[2]
    if providers == "application":
        _set_up_tracing()
    library = trace.get_tracer("library")
    slowest = 0.0
    for number in range(0, count, 2):
        began = time.perf_counter()
        with kpi_timed_step(None, "STEADY", "step", correlation_id=f"deal_{number}"):
            with library.start_as_current_span("query"):
                emit_kpi(None, "STEADY", "inside", value=float(number))
        if number:  # the first one starts the pipeline
            slowest = max(slowest, time.perf_counter() - began)
        print(number + 2, flush=True)
        time.sleep(0.01)
    assert pipeline.flush(30)
    print(f"flushed; the slowest step took {slowest * 1000:.1f} ms", flush=True)
    sys.stdin.readline()


def _set_up_tracing() -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    main()
