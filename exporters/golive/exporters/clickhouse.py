"""The exporter that writes KPI events to ClickHouse: an OpenTelemetry `LogRecordExporter`.

    from golive.exporters.clickhouse import ClickHouseLogRecordExporter

    exporter = ClickHouseLogRecordExporter("clickhousedb://user@host:8123/golive")
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))

golive's own pipeline uses it by itself where `GOLIVE_EVENTS_URL` names such a store. A batch goes in as it
is, in native columns, and nothing is looked up before. Every event is there once, however often it is
exported: its id and its fingerprint, a hash of all it says, end the key of the table, and of rows that agree
in the key one is left (`ReplacingMergeTree`) and one is read. So two processes that picked one id lose
nothing: their events differ, and both stay, under that id (E5).
"""

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, Connection

from golive import database
from golive.errors import ConfigurationError
from golive.events import KpiEvent
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect, is_embedded, told
from golive.exporters._records import Complaints, after_events, events_of, log_rejected, one_line, streams_of
from golive.exporters.clickhouse_schema import COLUMNS
from golive.otel_logs import LogRecordExporter, LogRecordExportResult, ReadableLogRecord

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

T = TypeVar("T")

__all__ = ["ClickHouseLogRecordExporter", "fingerprint"]

_log = logging.getLogger(__name__)

_DEADLINE_S: Final = 60.0
_ASKING_S: Final = 2.0
_ASKED_AT_ONCE: Final = 2_000
"""A server takes one megabyte of parameters."""
_REFUSED: Final = (469, 395)
"""ClickHouse's codes for a violated constraint, and for `throwIf` in an operator's view."""
_FIRST_NS: Final = -2_208_988_800 * 10**9
_LAST_NS: Final = 10_413_791_999 * 10**9
"""1900 to 2299: what a `DateTime64` holds."""

_SETTINGS: Final = {
    # The key alone makes an event one: a block that is left out as seen before would not reach the view.
    "insert_deduplicate": 0,
    # In a cluster an answer means that the shards have it.
    "insert_distributed_sync": 1,
}
_ON_SERVERS: Final = {
    # The server gathers what many processes send in small batches, and answers when it is on disk.
    "async_insert": 1,
    "wait_for_async_insert": 1,
}


class ClickHouseLogRecordExporter(LogRecordExporter):
    """Writes `kpi.event` log records to the table `kpi_event`; other log records pass by unwritten.

    The tables must be there (`golive db upgrade`); in the embedded engine they are made at the first use.
    Methods may be called from any thread.

    Args:
        database_url: A `clickhousedb://` URL.

    Raises:
        ConfigurationError: The database is of another kind.
    """

    def __init__(self, database_url: str | URL) -> None:
        self._url = database.normalise_events_url(database_url)
        if self._url.get_backend_name() != "clickhousedb":
            raise ConfigurationError("expected a clickhousedb:// URL")
        self._writing: Client | None = None
        self._asking: Client | None = None
        self._opening = threading.Lock()
        self._complaints = Complaints()
        self.on_rejected: Callable[[str], None] = log_rejected
        self._tripwires = after_events(self._url)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch; FAILURE if the store cannot be written now: try it again. Never raises."""
        try:
            self._insert(list(events_of(batch)))
        except Exception as error:  # drivers raise what they like; the caller keeps the batch
            self._complaints.cannot_write(error)
            return LogRecordExportResult.FAILURE
        self._complaints.written()
        if self._tripwires is not None:
            self._tripwires.saw(streams_of(batch))
        return LogRecordExportResult.SUCCESS

    def write(self, events: Iterable[KpiEvent]) -> int:
        """Write events, each once; return how many were not there yet.

        Raises:
            SchemaError: The store has no golive tables.
            sqlalchemy.exc.OperationalError: The store cannot be written.
        """
        missing = self._lacking(
            self._client(), list({fingerprint(event): event for event in events}.values())
        )
        return self._insert(missing)

    def insert(
        self, connection: Connection, events: Sequence[KpiEvent], note: Callable[[int], object] | None = None
    ) -> bool:
        """Return False: no transaction of a business takes part in this store."""
        return False

    def committed(self, events: Sequence[KpiEvent]) -> None:
        """Do nothing: `insert` takes none."""

    def find(self, ids: Sequence[int], transactions: Collection[int] = ()) -> list[KpiEvent]:
        """Return those of the events with these ids that are in the store.

        Raises:
            SchemaError: The store has no golive tables.
            sqlalchemy.exc.OperationalError: The store cannot be read.
        """
        columns = ", ".join(name for name in COLUMNS if name not in ("fingerprint", "created_at"))
        query = (
            f"SELECT {columns}, toUnixTimestamp64Micro(created_at) AS created_us FROM kpi_event "
            "WHERE id IN {ids:Array(Int64)} LIMIT 1 BY id, fingerprint"
        )
        found: list[KpiEvent] = []
        for some in _chunks(ids, _ASKED_AT_ONCE):
            with told(self._url, query):
                rows = self._client().query(query, {"ids": list(some)}).named_results()
                for row in rows:
                    created_ns = row.pop("created_us") * 1000
                    found.append(KpiEvent(**row, sampled=False, created_ns=created_ns))
        return found

    def lacking(self, events: Sequence[KpiEvent]) -> list[KpiEvent]:
        """Return those of the events that are not in the store. Waits two seconds at most.

        Raises:
            SchemaError: The store has no golive tables.
            sqlalchemy.exc.OperationalError: The store cannot be read.
        """
        with self._opening:
            if self._asking is None:
                self._asking = connect(self._url, _ASKING_S, {"max_execution_time": _ASKING_S})
        return self._lacking(self._asking, events)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered here: what `export` took is in the store."""
        return True

    def shutdown(self) -> None:
        """Evaluate the tripwires whose turn it is, and close the connections."""
        if self._tripwires is not None:
            self._tripwires.stop()
        for client in (self._writing, self._asking):
            if client is not None:
                client.close()

    def _client(self) -> "Client":
        with self._opening:
            if self._writing is None:
                if is_embedded(self._url):
                    clickhouse_schema.upgrade(self._url)
                settings = _SETTINGS if is_embedded(self._url) else _SETTINGS | _ON_SERVERS
                self._writing = connect(self._url, _DEADLINE_S, settings)
            return self._writing

    def _insert(self, events: list[KpiEvent]) -> int:
        """Write what the store takes; `on_rejected` gets the rest, which must not hold up all behind it.

        Only once all is written, for a batch that fails half way is tried again.
        """
        refused: list[tuple[KpiEvent, str]] = []
        fitting: list[KpiEvent] = []
        for event in events:
            if _FIRST_NS <= event.created_ns <= _LAST_NS:
                fitting.append(event)
            else:
                refused.append((event, "its time is not from 1900 to 2299"))
        if fitting:
            refused += self._insert_fitting(self._client(), fitting)
        for event, why in refused:
            self._reject(event, why)
        return len(events) - len(refused)

    def _insert_fitting(self, client: "Client", events: list[KpiEvent]) -> list[tuple[KpiEvent, str]]:
        """Write what the store takes; return what it refuses, and why."""
        try:
            self._insert_all(client, events)
        except Exception as error:
            if not _is_refused(error):
                raise
            if len(events) == 1:
                return [(events[0], one_line(error))]
            return [refused for event in events for refused in self._insert_fitting(client, [event])]
        return []

    def _insert_all(self, client: "Client", events: Sequence[KpiEvent]) -> None:
        with told(self._url, "INSERT INTO kpi_event"):
            client.insert(
                "kpi_event",
                _columns(events),
                column_names=list(COLUMNS),
                column_type_names=list(COLUMNS.values()),
                column_oriented=True,
            )

    def _lacking(self, client: "Client", events: Sequence[KpiEvent]) -> list[KpiEvent]:
        return [event for some in _chunks(events, _ASKED_AT_ONCE) for event in self._absent(client, some)]

    def _absent(self, client: "Client", events: Sequence[KpiEvent]) -> list[KpiEvent]:
        query = (
            "SELECT DISTINCT fingerprint FROM kpi_event WHERE domain IN {domains:Array(String)} "
            "AND metric IN {metrics:Array(String)} "
            "AND created_at >= fromUnixTimestamp64Micro({first:Int64}, 'UTC') "
            "AND created_at <= fromUnixTimestamp64Micro({last:Int64}, 'UTC') "
            "AND fingerprint IN {fingerprints:Array(UInt64)}"
        )
        made = [fingerprint(event) for event in events]
        given: dict[str, Any] = {
            "domains": sorted({event.domain for event in events}),
            "metrics": sorted({event.metric for event in events}),
            "first": min(event.created_ns for event in events) // 1000,
            "last": max(event.created_ns for event in events) // 1000,
            "fingerprints": made,
        }
        with told(self._url, query):
            there = {row[0] for row in client.query(query, given).result_rows}
        return [event for event, hashed in zip(events, made, strict=True) if hashed not in there]

    def _reject(self, event: KpiEvent, why: str) -> None:
        _log.error("the event store refuses event %d: %s", event.id, why)
        self.on_rejected(json.dumps(event._asdict()))


def fingerprint(event: KpiEvent) -> int:
    """Return 64 bits that stand for all an event says, but for whether its trace was sampled.

    They are in the key of stored rows: computed otherwise, an event written again would be there twice.
    """
    said = [
        *event[:5],
        _float(event.value),
        *event[6:11],
        _float(event.duration_ms),
        event.created_ns // 1000,
    ]
    return int.from_bytes(blake2b(json.dumps(said).encode(), digest_size=8).digest())


def _columns(events: Sequence[KpiEvent]) -> list[Sequence[Any]]:
    """Return the columns of a batch, in the order of `COLUMNS`; times are microseconds."""
    id_, emitter, domain, metric, success, value, actor, correlation_id, *more = zip(*events, strict=True)
    detail, trace_id, span_id, _, duration_ms, created_ns = more
    fingerprints = list(map(fingerprint, events))
    created_us = [time // 1000 for time in created_ns]
    return [id_, fingerprints, emitter, domain, metric, success, value, actor, correlation_id, detail,
            trace_id, span_id, duration_ms, created_us]  # fmt: skip


def _is_refused(error: Exception) -> bool:
    """Return whether the store will never take a row."""
    return getattr(getattr(error, "orig", None), "code", None) in _REFUSED


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)
