"""How the SDK finds the exporter that writes to an event store: by entry point, as OpenTelemetry does."""

from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from sqlalchemy import URL, Connection

from golive.errors import ConfigurationError
from golive.events import KpiEvent
from golive.otel_logs import LogRecordExportResult, ReadableLogRecord

ENTRY_POINT_GROUP = "golive.event_stores"


class StillOpen(Exception):
    """A transaction is neither committed nor rolled back yet."""


class EventStore(Protocol):
    """An OpenTelemetry `LogRecordExporter` that can also take part in a business transaction.

    `export` is called on the drain's thread and may block; `insert` on the thread that commits.
    """

    on_rejected: Callable[[str], None]
    """Called with the JSON of an event the database refuses for its values; the others are written."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch, each event once however often it is exported. Never raises."""

    def write(self, events: Iterable[KpiEvent]) -> int:
        """Write events, each once; return how many were not there yet. May raise, and iterate them twice."""

    def insert(
        self, connection: Connection, events: Sequence[KpiEvent], note: Callable[[int], object] | None = None
    ) -> bool:
        """Insert in the connection's open transaction, by one statement.

        Calls `note` with the number the database has for the transaction, where there is such a thing.
        Returns False, with nothing done and the transaction intact, where an insert is not possible.
        """

    def committed(self, events: Sequence[KpiEvent]) -> None:
        """Learn that events `insert` took are committed; on the thread that did. Never blocks, nor raises."""

    def find(self, ids: Sequence[int], transactions: Collection[int] = ()) -> list[KpiEvent]:
        """Return those of the events with these ids that are in the store; may block, and raise.

        Raises `StillOpen` while one of the transactions, by the numbers `insert` noted, may yet commit.
        """

    def lacking(self, events: Sequence[KpiEvent]) -> list[KpiEvent]:
        """Return those of the events that are not in the store; waits two seconds at most, and may raise."""

    def shutdown(self) -> None:
        """Close the connections to the store."""


def open_store(url: URL) -> EventStore:
    """Return the exporter for this database.

    Raises:
        ConfigurationError: No installed exporter writes to such a database.
    """
    backend = url.get_backend_name()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=backend):
        store: EventStore = entry_point.load()(url)
        return store
    raise ConfigurationError(f"no exporter for {backend!r} databases is installed")
