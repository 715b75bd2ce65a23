"""A pipeline on a real store, with OpenTelemetry providers that remember what they were given."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from sqlalchemy import URL, Engine, Row, create_engine, text

from golive import pipeline
from golive.account import Account
from golive.database import normalise_url
from golive.otel_logs import InMemoryLogRecordExporter, SdkLoggerProvider, SimpleLogRecordProcessor
from tests.support.risk import Clock, tell_time
from tests.support.service import serving, token


@dataclass
class Golive:
    """A running pipeline and everything that can be seen of it."""

    url: URL
    spool_dir: Path
    engine: Engine
    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    records: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)

    def start(self, sampler: Sampler = ALWAYS_ON, **settings: Any) -> None:
        """Start the pipeline anew, with fresh providers."""
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.logger_provider = SdkLoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.records))
        pipeline.configure(
            self.url,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            spool_dir=self.spool_dir,
            **settings,
        )

    def rows(self) -> list[Row[Any]]:
        """Return all rows, once everything is delivered."""
        assert pipeline.flush(20)
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT * FROM kpi_event ORDER BY created_at, id")))

    def metrics(self) -> list[str]:
        """Return the metrics of the rows, sorted."""
        return sorted(row.metric for row in self.rows())

    def counter(self, name: str = "golive.kpi.events") -> dict[tuple[Any, ...], Any]:
        """Return an instrument's points by the values of their attributes."""
        data = self.reader.get_metrics_data()
        return {
            tuple((point.attributes or {}).values()): getattr(point, "value", None)
            or getattr(point, "count", 0)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }

    def events(self) -> list[Any]:
        """Return the OpenTelemetry events announced so far."""
        return [item.log_record for item in self.records.get_finished_logs()]


@pytest.fixture
def golive(store: Any, tmp_path: Path, account: Account) -> Iterator[Golive]:
    """A pipeline on SQLite, and on PostgreSQL; the business's engine is on the same database."""
    url = normalise_url(store)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER PRIMARY KEY, name VARCHAR(20) UNIQUE)"))
    harness = Golive(url, tmp_path / "spool", engine)
    harness.start()
    yield harness
    pipeline.shutdown()
    engine.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    tell_time(monkeypatch, made)
    return made


@pytest.fixture
def business(store: str) -> Iterator[Engine]:
    """The business's own engine on the store."""
    engine = create_engine(normalise_url(store))
    yield engine
    engine.dispose()


@pytest.fixture
def service(production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client that may do everything, of a service in whose way nothing is."""
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    with serving(production, anonymous=frozenset({"runbook"})) as client:
        client.headers.update(token(production, "read", "ingest", "operate"))
        yield client
