"""The exporter that writes KPI events to SQLite and PostgreSQL: an OpenTelemetry `LogRecordExporter`.

    from golive.exporters.sql import SqlLogRecordExporter

    provider.add_log_record_processor(BatchLogRecordProcessor(SqlLogRecordExporter("postgresql://…")))

golive's own pipeline uses it by itself. Every event is written once, however often it is exported: its id is
the primary key. A batch goes in as it is (`COPY` on PostgreSQL); only if an id is there already is each
event compared with the row of that id: the same one is skipped, another one means two processes picked one
id, and the later event gets the next id of a sequence that depends on the id alone (E5).
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from golive import database, names
from golive.errors import GoliveError, SchemaError
from golive.events import KpiEvent
from golive.exporters._records import Complaints, after_events, events_of, log_rejected, one_line, streams_of
from golive.exporters._rows import PostgresRows, Row, SqliteRows, event_of, row_of
from golive.ids import next_probe
from golive.otel_logs import LogRecordExporter, LogRecordExportResult, ReadableLogRecord
from golive.stores import StillOpen

if TYPE_CHECKING:
    from psycopg.errors import Diagnostic

__all__ = ["SqlLogRecordExporter"]

_log = logging.getLogger(__name__)

_RECHECK_S = 5.0
_READ_ONLY_TRANSACTION = "25006"
_UNIQUE_VIOLATION = "23505"
_SQLITE_TAKEN = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID")
_SQLITE_UNIQUE_ID = "UNIQUE constraint failed: kpi_event.id"
_ANSWER_S = 60.0
"""How long a store that has taken a batch may keep silent; then the batch is tried again."""
_ASKING_S = 2.0
_MAX_PROBES = 64
_MAX_RACES = 20


class SqlLogRecordExporter(LogRecordExporter):
    """Writes `kpi.event` log records to the table `kpi_event`; other log records pass by unwritten.

    On SQLite the schema is made at the first use; on PostgreSQL it must be there (`golive db upgrade`).
    Methods may be called from any thread.

    Args:
        database_url: SQLite or PostgreSQL.

    Raises:
        ConfigurationError: The database is of another kind.
    """

    def __init__(self, database_url: str | URL) -> None:
        self._url = database.normalise_url(database_url)
        self._engine: Engine = database.create_store_engine(self._url, use_s=_ANSWER_S)
        self._asking: Engine | None = None
        self._rows: SqliteRows | PostgresRows | None = None
        self._opening = threading.Lock()
        self._recheck_at = 0.0
        self._complaints = Complaints()
        self._takes_any_text = True
        self.on_rejected: Callable[[str], None] = log_rejected
        self._tripwires = after_events(self._url)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch; FAILURE if the store cannot be written now, and nothing of it is. Never raises."""
        try:
            self._write(lambda: map(row_of, events_of(batch)))
        except Exception as error:  # drivers raise what they like; the caller keeps the batch
            self._complaints.cannot_write(error)
            return LogRecordExportResult.FAILURE
        self._complaints.written()
        if self._tripwires is not None:
            self._tripwires.saw(streams_of(batch))
        return LogRecordExportResult.SUCCESS

    def write(self, events: Iterable[KpiEvent]) -> int:
        """Write events in one transaction, each once; return how many were not there yet.

        They are written while they are iterated, and iterated again if an id turns out to be taken.

        Raises:
            SchemaError: The database has no golive tables, or old ones.
            sqlalchemy.exc.DBAPIError, or the driver's own error: The database cannot be written.
        """
        return self._write(lambda: map(row_of, events))

    def insert(
        self, connection: Connection, events: Sequence[KpiEvent], note: Callable[[int], object] | None = None
    ) -> bool:
        """Insert in the open transaction of a business connection to this database, by one statement.

        Calls `note` with PostgreSQL's number of the transaction; SQLite has none. Returns False, with the
        transaction intact, where that is not possible: the schema is not there, the transaction is read-only,
        SQLite refuses, or a trigger keeps a row out. Then all of them are to be exported after the commit:
        those that are there all the same are known again.

        Raises:
            sqlalchemy.exc.DBAPIError: The transaction is lost: PostgreSQL refused, which aborts it, or SQLite
                undid it, as on a full disk; to let the commit go on would be a rollback nobody sees.
        """
        if self._rows is None and time.monotonic() < self._recheck_at:
            return False
        begun = connection.dialect.name == "sqlite" and database.sqlite_in_transaction(connection)
        try:
            if connection.dialect.name == "sqlite" and not self._opens_on(connection):
                return False
            statements = self._statements()
        except Exception as error:  # see `export`
            if begun and not database.sqlite_in_transaction(connection):
                raise
            self._recheck_at = time.monotonic() + _RECHECK_S
            self._complaints.cannot_write(error)
            return False
        if not self._takes_any_text or connection.get_execution_options().get("postgresql_readonly"):
            return False
        rows = [row_of(event) for event in events]
        try:
            for _ in range(_MAX_PROBES):
                inserted, number = statements.insert_free(connection, rows)
                if number and note is not None:
                    note(number)
                if inserted == len(rows):
                    return True
                there = statements.select(connection, [row.id for row in rows])
                if any(row.id not in there for row in rows):
                    break  # its id is free: something else keeps it out
                rows = [_moved(row) for row in rows if not there[row.id].is_same_event(row)]
        except DBAPIError as error:
            aborted = connection.dialect.name == "postgresql" and _sqlstate(error) != _READ_ONLY_TRANSACTION
            undone = begun and not database.sqlite_in_transaction(connection)
            if aborted or undone:
                raise
        except Exception as error:  # a bug here must not cost the business its commit (E6)
            self._complaints.cannot_write(error)
        return False

    def committed(self, events: Sequence[KpiEvent]) -> None:
        """Learn that events `insert` took are committed. Never blocks, nor raises."""
        if self._tripwires is not None:
            self._tripwires.saw((event.domain, event.metric) for event in events)

    def find(self, ids: Sequence[int], transactions: Collection[int] = ()) -> list[KpiEvent]:
        """Return those of the events with these ids that are in the store.

        Raises:
            StillOpen: One of the transactions, by the numbers `insert` noted, may yet commit.
            SchemaError: The database has no golive tables, or old ones.
            sqlalchemy.exc.DBAPIError: The database cannot be read.
        """
        statements = self._statements()
        if transactions:
            # In a transaction of its own: under a stricter isolation the next one would see no later commit.
            with self._engine.connect() as connection:
                if statements.are_open(connection, transactions):
                    raise StillOpen(f"a transaction that wrote KPI events is still open: {transactions}")
        with self._engine.connect() as connection:
            return [event_of(row) for row in statements.select(connection, ids).values()]

    def lacking(self, events: Sequence[KpiEvent]) -> list[KpiEvent]:
        """Return those of the events that are not in the store, under no id they may have got there.

        Waits two seconds at most.

        Raises:
            SchemaError: The database has no golive tables, or old ones.
            sqlalchemy.exc.DBAPIError: The database cannot be read.
        """
        statements = self._rows or self._statements()
        lacking: set[int] = set()
        asked = dict(enumerate(map(row_of, events)))
        with self._opening:
            if self._asking is None:
                self._asking = database.create_store_engine(self._url, deadline_s=_ASKING_S)
        with self._asking.connect() as connection:
            for _ in range(_MAX_PROBES):
                there = statements.select(connection, {row.id for row in asked.values()})
                lacking.update(index for index, row in asked.items() if row.id not in there)
                # Another event has its id: it may be there under the next one.
                asked = {
                    index: _moved(row)
                    for index, row in asked.items()
                    if row.id in there and not there[row.id].is_same_event(row)
                }
                if not asked:
                    break
        return [event for index, event in enumerate(events) if index in lacking or index in asked]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is buffered here: what `export` took is in the store."""
        return True

    def shutdown(self) -> None:
        """Evaluate the tripwires whose turn it is, and close the connections."""
        if self._tripwires is not None:
            self._tripwires.stop()
        if self._asking is not None:
            self._asking.dispose()
        self._engine.dispose()

    def _write(self, rows: Callable[[], Iterable[Row]]) -> int:
        """Write what `rows` yields; it is asked again if one of the ids turns out to be taken."""
        statements = self._statements()
        try:
            with self._engine.begin() as connection:
                return statements.insert_many(connection, rows())
        except Exception as error:
            if self._is_refused(error):
                return self._write_one_by_one(statements, list(rows()))
            if not self._is_id_taken(error):
                raise
        everything = list(rows())
        try:
            return self._write_deduplicated(statements, everything)
        except Exception as error:
            if not self._is_refused(error):
                raise
        return self._write_one_by_one(statements, everything)

    def _write_one_by_one(self, statements: SqliteRows | PostgresRows, rows: Sequence[Row]) -> int:
        """Write what the database takes of a batch it refused for a row; `on_rejected` gets the rest.

        One such event must not hold up all behind it for ever. It is told of only once all is written, for
        a batch that fails half way is tried again.
        """
        written = 0
        refused: list[tuple[Row, str]] = []
        for row in rows:
            try:
                written += self._write_deduplicated(statements, [row])
            except Exception as error:
                if not self._is_refused(error):
                    raise
                refused.append((row, one_line(error)))
        for row, why in refused:
            _log.error("the event store refuses event %d: %s", row.id, why)
            self.on_rejected(json.dumps(row._asdict()))
        return written

    def _write_deduplicated(self, statements: SqliteRows | PostgresRows, rows: Sequence[Row]) -> int:
        for _ in range(_MAX_RACES):
            try:
                with self._engine.begin() as connection:
                    return _insert_missing(statements, connection, rows)
            except Exception as error:
                # Another process took one of the ids between the look and the insert: look again.
                if not self._is_id_taken(error):
                    raise
        raise GoliveError(f"other writers took the ids of {len(rows)} events, {_MAX_RACES} times in a row")

    def _statements(self) -> SqliteRows | PostgresRows:
        """Return the statements for this store, its schema once checked."""
        if self._rows is None:
            with self._opening:
                self._rows = self._rows or self._open()
        return self._rows

    def _opens_on(self, connection: Connection) -> bool:
        """Return whether an SQLite store is open or, asked on a business connection, has its schema.

        Another connection would wait for the lock the business's transaction may hold; it makes a schema that
        is missing when the events come to it from the spool.
        """
        if self._rows is None:
            try:
                database.check_schema(connection)
            except SchemaError:
                return False
            self._rows = SqliteRows()
        return True

    def _open(self) -> SqliteRows | PostgresRows:
        if self._url.get_backend_name() == "sqlite":
            self._make_schema()
            return SqliteRows()
        with self._engine.connect() as connection:
            database.check_schema(connection)
            # In another encoding a text may be refused, and would take the business's transaction along.
            self._takes_any_text = connection.scalar(text("SHOW server_encoding")) == "UTF8"
            schema: str = connection.scalar(_SCHEMA_OF_TABLE)
            return PostgresRows(schema)

    def _make_schema(self) -> None:
        """Make the schema where it is missing; where it is there, Alembic need not even be imported."""
        try:
            with self._engine.connect() as connection:
                database.check_schema(connection)
        except SchemaError:
            database.upgrade(self._url)

    def _is_id_taken(self, error: Exception) -> bool:
        """Return whether an id is another event's; an operator's own unique index is another matter."""
        raw = _raw(error)
        if not isinstance(raw, self._engine.dialect.loaded_dbapi.IntegrityError):
            return False
        if getattr(raw, "sqlstate", None) == _UNIQUE_VIOLATION:
            return self._is_of_ids(raw.diag)
        return getattr(raw, "sqlite_errorname", None) in _SQLITE_TAKEN or str(raw) == _SQLITE_UNIQUE_ID

    def _is_of_ids(self, violated: "Diagnostic") -> bool:
        """Return whether a unique index that was violated is one of ids; each partition has its own."""
        if violated.constraint_name is None:  # a trigger, which says so of whatever it likes
            return False
        index = {"schema": violated.schema_name, "name": violated.constraint_name}
        with self._engine.connect() as connection:
            # One that has another name by now was exchanged by maintenance, which leaves an operator's alone.
            return connection.scalar(_IS_OF_IDS, index) is not False

    def _is_refused(self, error: Exception) -> bool:
        """Return whether the database will never take a row: for a value, or an operator's constraint."""
        driver = self._engine.dialect.loaded_dbapi
        raw = _raw(error)
        refused = isinstance(raw, (driver.DataError, driver.IntegrityError))
        # That one goes by itself: a partition is being closed, and the event's clock is far ahead.
        closing = getattr(getattr(raw, "diag", None), "constraint_name", None) == names.CLOSING_CONSTRAINT
        return refused and not closing and not self._is_id_taken(error)


_IS_OF_IDS = text(
    "SELECT i.indnkeyatts = 1 AND a.attname IS NOT DISTINCT FROM 'id' FROM pg_index i "
    "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
    "WHERE i.indexrelid = to_regclass(format('%I.%I', CAST(:schema AS text), CAST(:name AS text)))"
)
_SCHEMA_OF_TABLE = text(
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = to_regclass('kpi_event')"
)


def _insert_missing(
    statements: SqliteRows | PostgresRows, connection: Connection, rows: Sequence[Row]
) -> int:
    """Insert those of the rows that are not there yet; return how many."""
    written = 0
    there: dict[int, Row] = {}
    for probe in range(_MAX_PROBES):
        there.update(statements.select(connection, {row.id for row in rows} - there.keys()))
        fresh: list[Row] = []
        collided: list[Row] = []
        for row in rows:
            other = there.get(row.id)
            if other is None:
                there[row.id] = row
                fresh.append(row)
            elif not other.is_same_event(row):
                collided.append(_moved(row))
        if fresh:
            written += statements.insert_many(connection, fresh)
        if not collided:
            return written
        if not probe:
            _log.info("%d events had ids of other events, and get others", len(collided))
        rows = collided
    raise GoliveError(f"no free id was found for {len(rows)} events in {_MAX_PROBES} tries")


def _moved(row: Row) -> Row:
    return row._replace(id=next_probe(row.id))


def _sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's code of the error, under whichever name its driver has it."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def _raw(error: Exception) -> BaseException:
    return getattr(error, "orig", None) or error
