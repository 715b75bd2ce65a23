"""`golive export`: the rows of the store, read back from Parquet, are the rows of the store."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, select, text
from typer.testing import CliRunner

from golive.cli import app
from golive.database import normalise_url
from golive.exporters import parquet
from golive.models import KpiEventRow
from golive.reader import EventFilter
from tests.support.stores import one_store

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def fields(number: int) -> dict[str, Any]:
    """Return a row; each column is null in some."""
    full = number % 3 > 0
    return {
        "id": number if number % 7 else (1 << 62) + number,
        "emitter": (1 << 62) + number if full else None,
        "domain": "W" if number % 2 else "Ünïcode",
        "metric": f"m{number % 5}",
        "success": (None, True, False)[number % 3],
        "value": number / 3 if full else None,
        "actor": "ops" if full else None,
        "correlation_id": f"deal_{number}" if full else None,
        "detail": {"n": number, "list": [1.5, None, "ü"]} if full else None,
        "trace_id": f"{number:032x}" if full else None,
        "span_id": f"{number:016x}" if full else None,
        "duration_ms": number / 7 if full else None,
        "created_at": START + number * dt.timedelta(minutes=1, microseconds=number),
    }


@pytest.fixture
def rows(store: str, business: Engine) -> list[dict[str, Any]]:
    made = [fields(number) for number in range(1, 5_001)]
    with business.begin() as connection:
        connection.execute(insert(KpiEventRow), made)
        everything = connection.execute(select(KpiEventRow.__table__).order_by(KpiEventRow.id))
        return [dict(row._mapping) for row in everything]


def read(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    for row in found:
        row["detail"] = None if row["detail"] is None else json.loads(row["detail"])
    return found


def command(store: str, file: Path, *options: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["export", str(file), "--database-url", store, *options])
    assert done.exit_code == exit_code, done.output
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".partial"] == []
    return done.output


def test_what_is_read_back_is_what_is_stored(
    store: str, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 2_000)
    file = tmp_path / "events.parquet"
    assert command(store, file).startswith("5,000 events from 2026-01-01 00:01 to 2026-01-04 11:20 UTC, ")
    assert read(file) == rows
    written = pq.ParquetFile(file)
    assert written.schema_arrow.equals(parquet.schema())
    assert written.metadata.num_row_groups == 3
    assert written.metadata.row_group(0).column(0).compression == "ZSTD"


def test_options_narrow_it(store: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    since, until = START + dt.timedelta(hours=10), START + dt.timedelta(hours=20)
    file = tmp_path / "events.parquet"
    narrow = ("--domain", "W", "--metric", "m1", "--since", since.isoformat(), "--until", until.isoformat())
    command(store, file, *narrow)
    wanted = [
        row
        for row in rows
        if row["domain"] == "W" and row["metric"] == "m1" and since <= row["created_at"] < until
    ]
    assert wanted
    assert read(file) == wanted


def test_no_event_makes_an_empty_file_with_every_column(store: str, tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    assert command(store, file).startswith("0 events, ")
    assert pq.read_table(file).schema.equals(parquet.schema())
    assert read(file) == []


def test_a_file_that_is_there_stays_unless_forced(store: str, tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    file.write_text("mine")
    assert "--force" in command(store, file, exit_code=2)
    assert file.read_text() == "mine"
    command(store, file, "--force")
    assert read(file) == []


def test_an_export_that_fails_half_way_leaves_the_file_that_was_there(
    store: str, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1_000)
    file = tmp_path / "events.parquet"
    file.write_text("mine")

    def fail(events: int) -> None:
        if events > 2_000:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        parquet.export(normalise_url(store), file, EventFilter(), overwrite=True, progress=fail)
    assert [path.name for path in tmp_path.iterdir() if "parquet" in path.name] == ["events.parquet"]
    assert file.read_text() == "mine"


def test_events_written_meanwhile_are_not_in_it(
    store: str, rows: list[dict[str, Any]], business: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 2_000)

    def go_on(events: int) -> None:
        with business.begin() as connection:
            connection.execute(insert(KpiEventRow), [fields(10_000 + events) | {"id": 4_999_000 + events}])
            connection.execute(text("DELETE FROM kpi_event WHERE id = 4999"))

    file = tmp_path / "events.parquet"
    parquet.export(normalise_url(store), file, EventFilter(), progress=go_on)
    assert read(file) == rows


def test_large_details_end_a_row_group_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 10_000)
    columns = pa.schema([pa.field("detail", pa.string())])
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 3_000])], schema=columns)
    assert [group.num_rows for group in parquet._groups(iter([batch] * 10))] == [4, 4, 2]


@one_store
def test_a_folder_that_is_not_there_and_a_time_that_is_none_are_one_line(store: str, tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["export", str(tmp_path / "no" / "x.parquet"), "--database-url", store])
    assert (missing.exit_code, len(missing.stderr.splitlines())) == (2, 1)
    assert "--since" in command(store, tmp_path / "x.parquet", "--since", "soon", exit_code=2)
