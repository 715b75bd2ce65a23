"""Rows of `kpi_event`, and the statements that write and read them on each database."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, text

from golive.events import KpiEvent
from golive.instants import microseconds


class Row(NamedTuple):
    """One row of `kpi_event`, in the order of its columns; `detail` is JSON text."""

    id: int
    emitter: int | None
    domain: str
    metric: str
    success: bool | None
    value: float | None
    actor: str | None
    correlation_id: str | None
    detail: str | None
    trace_id: str | None
    span_id: str | None
    duration_ms: float | None
    created_at: str
    """UTC, as `2026-01-13 12:00:00.000000+00`: text, because psycopg takes 2 µs to write out a datetime."""

    def is_same_event(self, other: "Row") -> bool:
        """Return whether both are one event, whatever their ids."""
        return (
            self[1:8] == other[1:8]
            and self[9:] == other[9:]
            and _parsed(self.detail) == _parsed(other.detail)
        )


def row_of(event: KpiEvent) -> Row:
    """Return the row of an event; times lose what is below a microsecond."""
    # By place, not by name: this is done for every event written. The two differ in `sampled` and the time.
    return Row(*event[:11], event[12], _utc_text(event[13]))


def event_of(row: Row) -> KpiEvent:
    """Return the event of a row; whether its trace was sampled is not known any more."""
    values = row._asdict()
    created = dt.datetime.fromisoformat(values.pop("created_at"))
    created_ns = microseconds(created) * 1000
    return KpiEvent(**values | {"emitter": row.emitter or 0}, sampled=False, created_ns=created_ns)


_UTC = "+00"
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_COLUMNS = ", ".join(Row._fields)
_PLACES = f"({', '.join('?' * len(Row._fields))})"


class SqliteRows:
    """Writes and reads rows on SQLite."""

    _SELECT = text(f"SELECT {_COLUMNS} FROM kpi_event WHERE id IN (SELECT value FROM json_each(:ids))")
    _MAX_ROWS = 32_766 // len(Row._fields)
    """SQLite's default bound on the parameters of one statement."""
    _CHUNK_ROWS = 500

    def insert_many(self, connection: Connection, rows: Iterable[Row]) -> int:
        """Insert all; return how many. Raises the driver's `IntegrityError` if an id is taken.

        Many rows a statement: `executemany` would ask for the interpreter lock at every row, and wait 5 ms
        for it each time while the business computes.
        """
        everything = list(rows)
        for chunk in _chunks(everything, self._CHUNK_ROWS):
            self._execute(connection, chunk, "")
        return len(everything)

    def insert_free(self, connection: Connection, rows: Sequence[Row]) -> tuple[int, int]:
        """Insert those whose id is free, by one statement (for each 2,500 rows).

        Returns how many, and 0: SQLite's transactions have no numbers.
        """
        ending = " ON CONFLICT (id) DO NOTHING"
        chunks = _chunks(rows, self._MAX_ROWS)
        return sum(self._execute(connection, chunk, ending).rowcount for chunk in chunks), 0

    def are_open(self, connection: Connection, transactions: Iterable[int]) -> bool:
        """Return False: no transaction outlives its process."""
        return False

    def select(self, connection: Connection, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows that have these ids."""
        found = connection.execute(self._SELECT, {"ids": json.dumps(list(ids))})
        return {row.id: self._row(row) for row in found}

    @staticmethod
    def _execute(connection: Connection, rows: Sequence[Row], ending: str) -> CursorResult[Any]:
        places = ", ".join([_PLACES] * len(rows))
        parameters: list[Any] = []
        for row in rows:
            parameters += row[:12]
            parameters.append(row.created_at.removesuffix(_UTC))
        statement = f"INSERT INTO kpi_event ({_COLUMNS}) VALUES {places}{ending}"
        return connection.exec_driver_sql(statement, tuple(parameters))

    @staticmethod
    def _row(found: Any) -> Row:
        success = None if found.success is None else bool(found.success)
        return Row(*found)._replace(success=success, created_at=found.created_at + _UTC)


class PostgresRows:
    """Writes and reads rows on PostgreSQL, by `COPY` where many are written.

    Args:
        schema: The schema the table is in, for a business connection may have another search path.
    """

    # Of a number not given yet `txid_status` makes an error.
    _OPEN = text(
        "SELECT bool_or(CASE WHEN number < txid_current() THEN txid_status(number) = 'in progress' END) "
        "FROM unnest(CAST(CAST(:numbers AS text) AS bigint[])) AS asked (number)"
    )

    def __init__(self, schema: str) -> None:
        table = f'"{schema.replace(chr(34), 2 * chr(34))}".kpi_event'
        self._copy = f"COPY {table} ({_COLUMNS}) FROM STDIN"
        self._insert = text(
            f"INSERT INTO {table} ({_COLUMNS}) "
            f"SELECT {_COLUMNS.replace('detail', 'CAST(detail AS jsonb)')} "
            "FROM json_to_recordset(CAST(CAST(:rows AS text) AS json)) AS t (id bigint, emitter bigint, "
            "domain text, metric text, success boolean, value double precision, actor text, "
            "correlation_id text, detail text, "
            "trace_id text, span_id text, duration_ms double precision, created_at timestamptz) "
            "ON CONFLICT (id) DO NOTHING RETURNING txid_current()"
        )
        # A join, for `id = ANY(array)` reads the whole table until it has been analysed.
        self._select = text(
            f"SELECT {_COLUMNS} FROM unnest(CAST(CAST(:ids AS text) AS bigint[])) AS wanted (id) "
            f"JOIN {table} USING (id)"
        )

    def insert_many(self, connection: Connection, rows: Iterable[Row]) -> int:
        """Insert all, while the server works on the first; return how many.

        Raises the driver's `IntegrityError` if an id is taken.
        """
        cursor = connection.connection.cursor()
        try:
            with cursor.copy(self._copy) as copy:
                for row in rows:
                    copy.write_row(row)
            return cursor.rowcount
        finally:
            cursor.close()

    def insert_free(self, connection: Connection, rows: Sequence[Row]) -> tuple[int, int]:
        """Insert those whose id is free, by one statement; return how many, and the transaction's number."""
        values = _encode([row._asdict() for row in rows])
        numbers: Sequence[int] = connection.scalars(self._insert, {"rows": values}).all()
        return len(numbers), numbers[0] if numbers else 0

    def are_open(self, connection: Connection, transactions: Iterable[int]) -> bool:
        """Return whether one of the transactions with these numbers may yet commit.

        The server the URL leads to now may never have heard of it: a replica that took over without it.
        """
        return bool(connection.scalar(self._OPEN, {"numbers": "{" + ",".join(map(str, transactions)) + "}"}))

    def select(self, connection: Connection, ids: Iterable[int]) -> dict[int, Row]:
        """Return the rows that have these ids."""
        found = connection.execute(self._select, {"ids": "{" + ",".join(map(str, ids)) + "}"})
        return {
            row.id: Row(*row)._replace(
                detail=None if row.detail is None else json.dumps(row.detail),
                created_at=row.created_at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f") + _UTC,
            )
            for row in found
        }


def _chunks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _parsed(detail: str | None) -> Any:
    # PostgreSQL writes 1e23 out as an integer, which as such is not what the double was.
    return None if detail is None else json.loads(detail, parse_int=float)


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    return str(dt.datetime.fromtimestamp(second, dt.UTC).replace(tzinfo=None))


def _utc_text(unix_ns: int) -> str:
    return f"{_second_text(unix_ns // 1_000_000_000)}.{unix_ns // 1000 % 1_000_000:06d}{_UTC}"
