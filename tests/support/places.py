"""A place where events may be kept: what writes to it, and what reads it; SQLite, PostgreSQL or ClickHouse."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import URL, create_engine, text

from golive import database, readers
from golive.exporters import clickhouse_reader
from golive.exporters._clickhouse import connect
from golive.reader import EventReader
from golive.stores import open_store


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
        for table in ("kpi_event", "kpi_event_by_correlation"):
            place.execute(f"SYSTEM STOP MERGES {table}")
    try:
        yield place
    finally:
        place.exporter.shutdown()


def clickhouse_url(folder: Path) -> str:
    """Return the URL of a database nobody has used, in the engine within this process."""
    pytest.importorskip(
        "chdb", reason="NOT TESTED, for chdb is not installed: pip install --group clickhouse"
    )
    return f"clickhousedb:///test_{uuid.uuid4().hex[:12]}?interface=chdb&path={folder}"
