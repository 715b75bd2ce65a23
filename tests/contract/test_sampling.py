"""E3: a sampled-out trace loses its span, never its row, its counter or its event."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased

from golive import pipeline
from golive.kpi import kpi_success, kpi_timed_step
from tests.contract.conftest import Golive


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0.01)], ids=["always_off", "one_percent"])
def test_every_row_count_and_event_is_there_whatever_the_sampler(golive: Golive, sampler: Sampler) -> None:
    golive.start(sampler)
    for _ in range(300):
        kpi_success(None, "W", "sent")
        with kpi_timed_step(None, "W", "step"):
            pass
    rows = golive.rows()
    assert len(rows) == 600
    assert sum(golive.counter().values()) == 600
    assert len(golive.events()) == 600
    assert len(golive.spans.get_finished_spans()) < 60
    assert all(row.trace_id and row.span_id for row in rows)


def test_an_unsampled_parent_keeps_every_row_in_its_trace(golive: Golive) -> None:
    golive.start(ParentBased(ALWAYS_OFF))
    parent = trace.NonRecordingSpan(trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(0)))
    with trace.use_span(parent):
        kpi_success(None, "W", "sent")
    (row,) = golive.rows()
    assert row.trace_id == f"{7:032x}"
    (event,) = golive.events()
    assert event.trace_id == 7
    assert not event.trace_flags.sampled
    assert not golive.spans.get_finished_spans()


def test_a_sampled_span_has_what_the_row_has(golive: Golive) -> None:
    event_id = kpi_success(None, "W", "sent", actor="broker", correlation_id="deal_1")
    (row,) = golive.rows()
    (span,) = golive.spans.get_finished_spans()
    assert span.name == "kpi W.sent"
    assert dict(span.attributes or {}) == {
        "golive.domain": "W",
        "golive.metric": "sent",
        "golive.outcome": "success",
        "golive.actor": "broker",
        "golive.correlation_id": "deal_1",
        "golive.event_id": event_id,
    }
    assert span.context is not None
    assert (row.id, row.trace_id, row.span_id) == (
        event_id,
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    )


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_SDK_DISABLED": "true"}], ids=["no_provider", "sdk_disabled"]
)
def test_without_any_provider_the_rows_are_there(
    sqlite_url: Any, tmp_path: Path, environment: dict[str, str], variables: dict[str, str]
) -> None:
    program = "from golive.kpi import kpi_success; kpi_success(None, 'W', 'sent')"
    subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, **variables, "DATABASE_URL": str(sqlite_url)},
        check=True,
        cwd=tmp_path,
        timeout=60,
    )
    import sqlite3

    path = str(sqlite_url).removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT metric FROM kpi_event").fetchall() == [("sent",)]
    database.close()


class BrokenProvider(trace.NoOpTracerProvider):
    def get_tracer(self, *arguments: Any, **named: Any) -> Any:
        class Tracer(trace.NoOpTracer):
            def start_span(self, *arguments: Any, **named: Any) -> trace.Span:
                raise RuntimeError("a bug of the application's")

        return Tracer()


def test_a_broken_tracer_costs_the_span_only(golive: Golive) -> None:
    pipeline.configure(golive.url, tracer_provider=BrokenProvider(), spool_dir=golive.spool_dir)
    kpi_success(None, "W", "sent")
    with kpi_timed_step(None, "W", "step"):
        pass
    assert golive.metrics() == ["sent", "step"]
