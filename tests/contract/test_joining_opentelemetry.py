"""golive joins the providers an application has, be they set before or after, and exports by `OTEL_*` alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port

PROVIDERS = """
from opentelemetry import trace, metrics
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

def set_providers():
    global spans, reader
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
"""


def run(program: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_applications_providers_are_used(environment: dict[str, str], tmp_path: Path, order: str) -> None:
    program = PROVIDERS + (
        "from golive.kpi import kpi_success\n"
        "from golive.correlation import correlation\n"
        + (
            "set_providers()\nkpi_success(None, 'W', 'first')\n"
            if order == "before"
            else "kpi_success(None, 'W', 'first')\nset_providers()\n"
        )
        + "with correlation('deal_1'):\n"
        "    kpi_success(None, 'W', 'second')\n"
        "    trace.get_tracer('app').start_span('query').end()\n"
        "import json\n"
        "names = {s.name: (s.attributes or {}).get('golive.correlation_id') for s in spans.get_finished_spans()}\n"
        "data = reader.get_metrics_data()\n"
        "points = [(m.name, p.value) for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics "
        "for p in m.data.data_points if m.name == 'golive.kpi.events']\n"
        "print(json.dumps([names, points]))\n"
    )
    names, points = json.loads(run(program, environment, tmp_path))
    assert names["kpi W.second"] == "deal_1"
    assert names["query"] == "deal_1"
    assert ("kpi W.first" in names) == (order == "before")
    assert sum(value for _, value in points) == 2


def test_the_standard_variables_alone_export_all_three_signals(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        environment[f"OTEL_{signal}_EXPORTER"] = "console"
    said = run("from golive.kpi import kpi_success; kpi_success(None, 'W', 'sent')", environment, tmp_path)
    assert '"name": "kpi W.sent"' in said
    assert '"golive.emitter"' in said  # of the event; the span has none
    assert '"golive.kpi.events"' in said


def test_a_pipeline_that_starts_anew_ends_the_exporters_of_the_one_before(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["OTEL_METRICS_EXPORTER"] = "console"
    program = (
        "from golive import pipeline; from golive.kpi import kpi_success\n"
        "kpi_success(None, 'W', 'sent'); pipeline.configure(); kpi_success(None, 'W', 'sent')"
    )
    assert run(program, environment, tmp_path).count('"golive.kpi.events"') == 2


def test_a_receiver_that_is_away_costs_no_row_and_no_longer_than_it_may(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "GOLIVE_SHUTDOWN_SECONDS": "0.2",
    }
    program = (
        "import threading; from golive import pipeline; from golive.kpi import kpi_success\n"
        "kpi_success(None, 'W', 'sent'); print(pipeline.flush(10)); pipeline.shutdown()\n"
        "print(any(each.name == 'golive-otlp-end' for each in threading.enumerate()))"
    )
    assert (
        run(program, environment, tmp_path) == "True\nTrue\n"
    )  # it is still trying, and nobody waits for it


def test_an_exporter_that_is_not_there_costs_its_signal_only(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["OTEL_TRACES_EXPORTER"] = "nonesuch"
    program = (
        "from golive import pipeline; from golive.kpi import kpi_success\n"
        "kpi_success(None, 'W', 'sent'); print(pipeline.flush(10), sum(pipeline.account().events.values()))"
    )
    assert run(program, environment, tmp_path) == "True 1\n"
