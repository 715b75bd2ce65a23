"""Events as a Parquet file, for the warehouse: one snapshot of the store, in row groups of bounded memory.

    from golive.exporters.parquet import export

    export(database.normalise_url("postgresql://…"), Path("events.parquet"), EventFilter(since=yesterday))

It needs pyarrow: `pip install 'golive[parquet]'`.
"""

import datetime as dt
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    cast,
    extract,
    select,
    type_coerce,
)

from golive import database
from golive.errors import ConfigurationError
from golive.models import KpiEventRow
from golive.reader import EventFilter
from golive.sql_reader import matching

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Exported", "export", "schema"]

ROW_GROUP_ROWS: Final = 100_000
ROW_GROUP_BYTES: Final = 64 << 20
"""A row group ends at the first of both, for a single `detail` may have 64 KiB."""
_FETCHED_ROWS = 2_000


class Exported(NamedTuple):
    """What an export wrote; `size` is bytes, the times those of the first and the last event."""

    events: int
    size: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None


def schema() -> "pa.Schema":
    """Return the columns of the file: those of `kpi_event`, `detail` as JSON text, times in UTC.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    pa = _pyarrow()
    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("emitter", pa.int64()),
            pa.field("domain", text, nullable=False),
            pa.field("metric", text, nullable=False),
            pa.field("success", pa.bool_()),
            pa.field("value", number),
            pa.field("actor", text),
            pa.field("correlation_id", text),
            pa.field("detail", text),
            pa.field("trace_id", text),
            pa.field("span_id", text),
            pa.field("duration_ms", number),
            pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )


def export(
    url: URL,
    path: Path,
    wanted: EventFilter,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Write events to a file, in the order of their ids. The file is there whole, or as it was before.

    Args:
        url: The store; it is only read, in one snapshot, while events go on being written.
        path: The file.
        wanted: Which events.
        overwrite: Replace a file that is there.
        progress: Called with the number of events written so far.

    Raises:
        ConfigurationError: pyarrow is not installed, or the file is there.
        SchemaError: The database has no golive tables, or old ones.
        OSError: The file cannot be written.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read.
    """
    columns = schema()
    if not overwrite:
        _check_absent(path)
    engine = database.create_store_engine(url)
    try:
        with (
            engine.connect() as connection,
            _replacing(path, overwrite) as out,
            closing(_batches(_snapshot(connection), wanted, columns)) as batches,
        ):
            return _write(out, columns, batches, progress)
    finally:
        engine.dispose()


def _write(
    out: BinaryIO, columns: "pa.Schema", batches: "Iterator[pa.RecordBatch]", progress: Callable[[int], None]
) -> Exported:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    events = 0
    times: list[dt.datetime] = []
    with pq.ParquetWriter(out, columns, compression="zstd") as writer:
        for group in _groups(batches):
            writer.write_table(group, row_group_size=group.num_rows)
            events += group.num_rows
            found = pc.min_max(group["created_at"]).as_py()
            times += found["min"], found["max"]
            times = [min(times), max(times)]
            progress(events)
    first, last = times or (None, None)
    return Exported(events, out.tell(), first, last)


def _groups(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.Table]":
    """Yield what makes a row group."""
    pa = _pyarrow()
    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _batches(
    connection: Connection, wanted: EventFilter, columns: "pa.Schema"
) -> "Generator[pa.RecordBatch]":
    pa = _pyarrow()
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_FETCHED_ROWS)
    with streaming.execute(_query(wanted, connection.dialect.name)) as result:
        for rows in result.partitions(_FETCHED_ROWS):
            arrays = map(_array, columns, zip(*rows, strict=True))
            yield pa.RecordBatch.from_arrays(list(arrays), schema=columns)


def _array(field: "pa.Field", values: tuple[Any, ...]) -> "pa.Array":
    """Return a column. SQLite has flags as 0 and 1, and times as text; PostgreSQL's come as microseconds."""
    pa = _pyarrow()
    known = next((value for value in values if value is not None), None)
    if pa.types.is_boolean(field.type) and known.__class__ is int:
        return pa.array(values, pa.int8()).cast(field.type)
    if pa.types.is_timestamp(field.type):
        as_stored = pa.array(values).cast(pa.timestamp(field.type.unit))
        return as_stored.cast(field.type)
    return pa.array(values, field.type)


def _query(wanted: EventFilter, dialect: str) -> Select[Any]:
    row = KpiEventRow
    # As it is stored: to make Python objects of it and take those apart takes half the time.
    plain: dict[str, ColumnElement[Any]]
    if dialect == "sqlite":
        plain = {name: type_coerce(getattr(row, name), Text) for name in ("created_at", "success", "detail")}
    else:
        microseconds = cast(extract("epoch", row.created_at) * 1_000_000, BigInteger)
        plain = {"detail": cast(row.detail, Text), "created_at": microseconds}
    names = [column.name for column in row.__table__.columns]
    columns = (plain.get(name, getattr(row, name)).label(name) for name in names)
    return select(*columns).where(*matching(wanted)).order_by(row.id)


def _snapshot(connection: Connection) -> Connection:
    """Return the connection in a transaction whose reads all see one state, the schema checked before."""
    database.check_schema(connection)
    connection.rollback()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
        return connection
    connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    # Before the snapshot is taken, so that no partition is exchanged between the two.
    connection.exec_driver_sql("LOCK TABLE kpi_event IN ACCESS SHARE MODE")
    return connection


@contextmanager
def _replacing(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Give a file beside the path that takes its place at the end, and is gone if that is not reached."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if not overwrite:
            _check_absent(path)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _check_absent(path: Path) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} is there already: --force replaces it")


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'golive[parquet]'") from error
    return pyarrow
