"""A place where events may be kept, SQLite, PostgreSQL or ClickHouse, and events to put there and take out."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import URL, create_engine, text

from golive import database, otel_logs, readers
from golive.events import KpiEvent
from golive.exporters import clickhouse_reader
from golive.exporters._clickhouse import connect
from golive.otel_logs import LogRecordExportResult
from golive.reader import Cursor, Event, EventFilter, EventReader
from golive.stores import open_store

START = dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
"""Two days before a month, so that the events of the tests are in two partitions."""


class Place(NamedTuple):
    """One store of events, and its exporter, which is closed after the test."""

    url: URL
    exporter: Any

    @property
    def kind(self) -> str:
        """The name of its database system."""
        return self.url.get_backend_name()

    @contextmanager
    def reading(self) -> Iterator[EventReader]:
        """Give what reads it."""
        if self.kind == "clickhousedb":
            with clickhouse_reader.open_reader(self.url, 20.0) as reader:
                yield reader
        else:
            with readers.reading(self.url, 20.0) as reader:
                yield reader

    def tables(self) -> list[str]:
        """Return the tables of ClickHouse that hold events."""
        found = self.execute("SHOW TABLES").split()
        names = ("kpi_event", "kpi_event_by_correlation")
        return [f"{name}_local" if f"{name}_local" in found else name for name in names]

    def execute(self, statement: str) -> Any:
        """Run a statement as the operator of the database might."""
        if self.kind == "clickhousedb":
            client = connect(self.url, 20.0, {})
            try:
                return client.command(statement)
            finally:
                client.close()
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                return connection.execute(text(statement))
        finally:
            engine.dispose()


@contextmanager
def opened(url: str | URL) -> Iterator[Place]:
    """Give a store with its exporter. ClickHouse's copies of an event stay, for it does not merge."""
    place = Place(database.normalise_events_url(url), open_store(database.normalise_events_url(url)))
    if place.kind == "clickhousedb":
        place.exporter.write([])
        for table in place.tables():
            place.execute(f"SYSTEM STOP MERGES {table}")
    try:
        yield place
    finally:
        place.exporter.shutdown()


def event(event_id: int, seconds: float = 0.0, **more: Any) -> KpiEvent:
    fields: dict[str, Any] = {
        "id": event_id, "emitter": 1, "domain": "W", "metric": "sent", "success": True, "value": None, "actor": None,
        "correlation_id": None, "detail": None, "trace_id": None, "span_id": None, "sampled": False,
        "duration_ms": None, "created_ns": (round(START.timestamp() * 1e6) + round(seconds * 1e6)) * 1000,
    }  # fmt: skip
    return KpiEvent(**fields | more)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def written(place: Place, events: list[KpiEvent]) -> None:
    """Export events, as the pipeline does."""
    batch = [otel_logs.readable(otel_logs.to_record(each)) for each in events]
    assert place.exporter.export(batch) is LogRecordExportResult.SUCCESS


def everything(reader: EventReader, **narrowed: Any) -> list[Event]:
    """Return all events there are, page by page."""
    found: list[Event] = []
    after = None
    while page := reader.events(EventFilter(**narrowed), 97, after):
        found += page
        after = Cursor(page[-1].created_at, page[-1].id)
    return found


def total(place: Place) -> int:
    """Return how many events there are, which every way to read has to agree on."""
    with place.reading() as reader:
        by_page = len(everything(reader))
        by_stream = sum(len(everything(reader, domain=d, metric=m)) for d, m in streams(reader))
        counted = sum(metric.events for metric in reader.summary())
        newest = sum(len(reader.newest(d, m, 100_000)) for d, m in streams(reader))
    assert {by_page, by_stream, newest} == {counted}
    return counted


def streams(reader: EventReader) -> list[tuple[str, str]]:
    return [(metric.domain, metric.metric) for metric in reader.summary()]
