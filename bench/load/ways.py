"""The ways to record an event that are measured: golive's, and those a user would pick instead.

Every event says the same: domain, metric, outcome, actor and correlation id.
"""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.load import sink
from bench.load.places import CORRELATION_ID, WARM, Place

_ATTRIBUTES: dict[str, Any] = {
    "golive.domain": "WHOLESALE",
    "golive.metric": "offer_sent",
    "golive.outcome": "success",
    "golive.actor": "broker",
}
_LABELS = {"domain": "WHOLESALE", "metric": "offer_sent", "outcome": "success"}


class Running(NamedTuple):
    """A way that is set up: `call` records the event of a correlation id, `flush` waits until all is sent."""

    call: Callable[[str], object]
    flush: Callable[[], object]


class Way(NamedTuple):
    """A way to record an event.

    Attributes:
        title: What the tables call it.
        begin: Sets it up.
        arrived: Returns the correlation ids of the events that have arrived.
        share: How much of the usual number of events a round has.
    """

    title: str
    begin: Callable[[Place], Running]
    arrived: Callable[[Place], list[str]]
    share: float = 1.0


def providers(url: str) -> tuple[Any, Any, Any]:
    """Return providers of traces, metrics and logs, with batch processors, that send to the sink by OTLP."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from golive.otel_logs import BatchLogRecordProcessor, SdkLoggerProvider

    traces, logs = TracerProvider(), SdkLoggerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"))])
    return traces, metrics, logs


def golive_whole(place: Place) -> Running:
    """golive with everything: the row, and the span, the counter and the record by OTLP."""
    return _golive(place, _sqlite(place), providers(place.sink))


def golive_rows(place: Place) -> Running:
    """golive where no OpenTelemetry is set up: the row alone."""
    return _golive(place, place.database, (None, None, None))


def _golive(place: Place, url: str, given: tuple[Any, Any, Any]) -> Running:
    from golive import pipeline
    from golive.kpi import kpi_success

    pipeline.configure(
        url,
        tracer_provider=given[0],
        meter_provider=given[1],
        logger_provider=given[2],
        spool_dir=f"{place.folder}/spool",
    )

    def call(correlation_id: str) -> None:
        kpi_success(None, "WHOLESALE", "offer_sent", actor="broker", correlation_id=correlation_id)

    def flush() -> None:
        assert pipeline.flush(120)
        for provider in given:
            if provider is not None:
                provider.force_flush()

    return Running(call, flush)


def opentelemetry(place: Place) -> Running:
    """The raw triple."""
    from bench._triple import raw_triple

    made = providers(place.sink)
    triple = raw_triple(*made)

    def call(correlation_id: str) -> None:
        triple({**_ATTRIBUTES, CORRELATION_ID: correlation_id})

    def flush() -> None:
        for provider in made:
            provider.force_flush()

    return Running(call, flush)


def logfire(place: Place) -> Running:
    """A span, a log and a counter by logfire, to the sink in place of its own servers."""
    import logfire as library
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Its own exporter waits half a second as well.
    spans = BatchSpanProcessor(OTLPSpanExporter(f"{place.sink}/v1/traces"), schedule_delay_millis=500)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{place.sink}/v1/metrics"))
    library.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        additional_span_processors=[spans],
        metrics=library.MetricsOptions(additional_readers=[reader]),
    )
    counter = library.metric_counter("kpi.events")

    def call(correlation_id: str) -> None:
        attributes = {**_ATTRIBUTES, CORRELATION_ID: correlation_id}
        with library.span("kpi WHOLESALE.offer_sent", **attributes):
            library.info("offer sent", **attributes)
        counter.add(1, _LABELS)

    return Running(call, library.force_flush)


def posthog(place: Place) -> Running:
    """`capture` of PostHog's client."""
    from posthog import Posthog

    client = Posthog("key", host=place.sink)

    def call(correlation_id: str) -> None:
        client.capture(
            "offer_sent", distinct_id="broker", properties={**_ATTRIBUTES, CORRELATION_ID: correlation_id}
        )

    return Running(call, lambda: client.flush(timeout_seconds=None))


def structlog(place: Place) -> Running:
    """A line of JSON in a file by structlog, flushed to the kernel as its own loggers do."""
    import structlog as library

    library.configure(
        processors=[
            library.processors.add_log_level,
            library.processors.TimeStamper(fmt="iso"),
            library.processors.JSONRenderer(),
        ],
        logger_factory=library.WriteLoggerFactory(file=_log_of(place).open("a")),
        cache_logger_on_first_use=True,
    )
    logger = library.get_logger()

    def call(correlation_id: str) -> None:
        logger.info("offer_sent", **{**_ATTRIBUTES, CORRELATION_ID: correlation_id})

    return Running(call, lambda: None)


def orm(place: Place) -> Running:
    """`add` and `commit` of one row of the same table."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from golive import database
    from golive.ids import IdGenerator
    from golive.models import KpiEventRow

    session, next_id = Session(create_engine(database.normalise_url(place.database))), IdGenerator()

    def call(correlation_id: str) -> None:
        session.add(
            KpiEventRow(
                id=next_id(),
                emitter=next_id.emitter,
                domain="WHOLESALE",
                metric="offer_sent",
                success=True,
                actor="broker",
                correlation_id=correlation_id,
                created_at=dt.datetime.now(dt.UTC),
            )
        )
        session.commit()

    return Running(call, lambda: None)


def rows(url: str) -> list[str]:
    """Return the correlation ids of the events in a store."""
    from sqlalchemy import create_engine, text

    from golive import database

    engine = create_engine(database.normalise_url(url))
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT correlation_id FROM kpi_event WHERE correlation_id <> :warm"), {"warm": WARM}
        )
        ids = [correlation_id for (correlation_id,) in found]
    engine.dispose()
    return ids


def _lines(place: Place) -> list[str]:
    found = [json.loads(line)[CORRELATION_ID] for line in _log_of(place).read_text().splitlines()]
    return [each for each in found if each != WARM]


def _log_of(place: Place) -> Path:
    return Path(place.folder) / "events.jsonl"


def _sqlite(place: Place) -> str:
    return f"sqlite:///{place.folder}/golive.db"


WAYS = {
    "golive": Way("golive, all of it, into SQLite", golive_whole, lambda place: rows(_sqlite(place))),
    "golive_rows": Way(
        "golive, no OpenTelemetry, into PostgreSQL", golive_rows, lambda place: rows(place.database)
    ),
    "opentelemetry": Way(
        "OpenTelemetry: span, counter, log record",
        opentelemetry,
        lambda place: sink.arrived(place.sink, "/v1/logs"),
    ),
    "logfire": Way(
        "logfire: span, log, counter", logfire, lambda place: sink.arrived(place.sink, "/v1/traces")
    ),
    "posthog": Way("PostHog's client", posthog, lambda place: sink.arrived(place.sink, "/batch/")),
    "structlog": Way("structlog, JSON to a file", structlog, _lines),
    "orm": Way("ORM `add` + `commit` in PostgreSQL", orm, lambda place: rows(place.database), 0.1),
}
