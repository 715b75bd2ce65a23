"""Events in ClickHouse, levers in SQLite or PostgreSQL: what golive does with two databases."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, governance, otel_logs, pipeline, readers, regression
from golive.account import Account
from golive.errors import SchemaError
from golive.exporters.clickhouse import ClickHouseLogRecordExporter, fingerprint
from golive.kpi import kpi_fail, kpi_success, kpi_value
from golive.otel_logs import LogRecordExportResult
from golive.reader import EventFilter
from tests.support.cli import golive
from tests.support.places import Place, event, everything, opened, total
from tests.support.service import serving, token
from tests.support.stores import one_store

pytestmark = pytest.mark.stack


@pytest.fixture
def apart(
    store: str, clickhouse_store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, account: Account
) -> Iterator[Place]:
    """A store of events in ClickHouse beside the database of the levers, chosen by the environment."""
    monkeypatch.setenv("DATABASE_URL", store)
    monkeypatch.setenv("GOLIVE_EVENTS_URL", clickhouse_store)
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    with opened(clickhouse_store) as place:
        yield place


def metrics(place: Place) -> list[str]:
    assert pipeline.flush(30)
    with place.reading() as reader:
        return sorted(found.metric for found in reader.events(EventFilter(), 100))


def test_an_event_of_a_transaction_is_there_if_and_only_if_it_commits(
    apart: Place, store: str, account: Account
) -> None:
    engine = create_engine(database.normalise_url(store))
    with Session(engine) as db:
        db.execute(text("CREATE TABLE deal (id INTEGER)"))
        db.commit()
        db.execute(text("INSERT INTO deal VALUES (1)"))
        kpi_success(db, "W", "committed")
        kpi_value(db, "W", "measured", 2.5)
        db.commit()
        db.execute(text("INSERT INTO deal VALUES (2)"))
        kpi_success(db, "W", "rolled_back")
        kpi_fail(db, "W", "failed")
        db.rollback()
    kpi_success(None, "W", "at_once")
    assert metrics(apart) == ["at_once", "committed", "failed", "measured"]
    assert account.events.total() == 4
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM kpi_event")) == 0
    engine.dispose()


def test_a_wire_trips_on_events_in_clickhouse(apart: Place, store: str) -> None:
    now = dt.datetime.now(dt.UTC)
    start_ns = round((now - dt.timedelta(hours=1)).timestamp() * 1e6) * 1000
    batch = [
        event(number, domain="WHOLESALE", metric="contract_rate", success=number <= 300 or number % 5 == 0,
              trace_id=f"{number:032x}", created_ns=start_ns + number * 10**9)
        for number in range(1, 401)
    ]  # fmt: skip
    apart.exporter.write(batch)
    apart.exporter._insert(batch)  # a retry whose first try was answered too late
    regression.upsert_policy(
        store,
        domain="WHOLESALE",
        metric="contract_rate",
        enabled=True,
        mode="confirmed",
        actor="a",
        reason="r",
    )
    made = regression.evaluate_policy(store, "WHOLESALE", "contract_rate", now=now)
    assert made.tripped
    assert made.finding is not None
    assert made.finding.measured_against is not None
    assert made.finding.measured_against.n == 300  # of which each was counted once
    [again] = regression.evaluate_all(store, now=now)
    assert not again.tripped
    assert again.state.triggered


def test_the_service_reads_and_writes_them(apart: Place, store: str) -> None:
    with serving(store) as client:
        client.headers.update(token(store, "read", "ingest", "operate"))
        body = {
            "domain": "W",
            "metric": "sent",
            "success": True,
            "correlation_id": "deal_1",
            "detail": {"a": 1},
        }
        assert client.post("/api/governance/regression/kpi", json={"events": [body] * 3}).status_code == 201
        assert pipeline.flush(30)
        [summary] = client.get("/api/kpi/summary").json()["metrics"]
        assert (summary["events"], summary["success_rate"]) == (3, 1.0)
        first = client.get("/api/kpi/events", params={"limit": 2}).json()
        rest = client.get("/api/kpi/events", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        ids = [found["id"] for found in first["events"] + rest["events"]]
        timeline = client.get("/api/kpi/correlations/deal_1").json()["events"]
        assert sorted(ids) == sorted(entry["id"] for entry in timeline)
        assert len(set(ids)) == 3
    with serving(store, anonymous=frozenset({"read", "runbook"})) as client:
        for path, seen in (("/", "sent"), ("/correlation?id=deal_1", "sent")):
            page = client.get(path)
            assert (page.status_code, seen in page.text) == (200, True)
    with apart.reading() as reader:
        assert reader.timeline("deal_1")[0].detail == {"a": 1}


@one_store
@pytest.mark.usefixtures("account")
def test_a_store_that_is_away_is_told_as_any_other_is(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("GOLIVE_EVENTS_URL", "clickhousedb://127.0.0.1:1/golive")
    with pytest.raises(OperationalError), readers.reading(store) as events:
        events.summary()
    with serving(store, anonymous=frozenset({"read", "runbook", "metrics"})) as client:
        assert client.get("/api/kpi/summary").status_code == 503
        assert client.get("/api/governance/go-live/state").status_code == 200


def test_tables_that_are_missing_are_told_by_the_remedy(clickhouse_store: str) -> None:
    url = database.normalise_events_url(clickhouse_store)
    with opened(url) as place:
        place.execute("DROP TABLE kpi_event")
        with pytest.raises(SchemaError, match="golive db upgrade"):
            place.exporter.write([event(1)])
        with place.reading() as reader, pytest.raises(SchemaError, match="golive db upgrade"):
            reader.summary()


def test_the_command_line_makes_fills_and_reads_it(
    environment: dict[str, str], sqlite_url: str, clickhouse_store: str, tmp_path: Path
) -> None:
    url = f"clickhousedb:///golive?interface=chdb&path={tmp_path / 'clickhouse'}"
    environment |= {"DATABASE_URL": sqlite_url, "GOLIVE_EVENTS_URL": url}
    log = tmp_path / "log.jsonl"
    lines = [
        {"domain": "W", "metric": "sent", "success": n % 4 > 0, "occurred_at": f"2026-01-01T00:{n:02d}:00Z"}
        for n in range(40)
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert (
        "has the tables of KPI events"
        in golive("db", "upgrade", cwd=tmp_path, environment=environment).stdout
    )
    for written in (40, 0):
        said = golive("import", log, cwd=tmp_path, environment=environment).stdout
        assert f"{written} events written" in said
    golive("replay", log, cwd=tmp_path, environment=environment)
    summary = golive("kpi", "summary", "--format", "json", cwd=tmp_path, environment=environment).stdout
    [metric] = json.loads(summary)
    assert (metric["events"], metric["success_rate"]) == (80, 0.75)
    exported = golive("export", tmp_path / "x.parquet", cwd=tmp_path, environment=environment, check=2)
    assert "FORMAT Parquet" in exported.stderr
    maintained = golive("db", "maintain", cwd=tmp_path, environment=environment, check=2)
    assert "apart from the tripwires" in maintained.stderr


def test_a_batch_of_which_one_table_failed_is_whole_after_the_next_try(clickhouse_store: str) -> None:
    batch = [event(number, number, correlation_id="deal_1") for number in range(1, 51)]
    records = [otel_logs.readable(otel_logs.to_record(each)) for each in batch]
    with opened(clickhouse_store) as place:
        place.execute("RENAME TABLE kpi_event_by_correlation TO elsewhere")
        assert place.exporter.export(records) is LogRecordExportResult.FAILURE
        place.execute("RENAME TABLE elsewhere TO kpi_event_by_correlation")
        assert place.exporter.export(records) is LogRecordExportResult.SUCCESS
        assert total(place) == 50
        with place.reading() as reader:
            assert [entry.id for entry in reader.timeline("deal_1")] == list(range(1, 51))


def test_a_refused_event_is_reported_once_however_often_its_batch_is_tried(
    clickhouse_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [event(1), event(2, metric="poison"), event(3), event(4)]
    records = [otel_logs.readable(otel_logs.to_record(each)) for each in made]
    refused: list[str] = []
    with opened(clickhouse_store) as place:
        place.exporter.on_rejected = refused.append
        place.execute(f"ALTER TABLE {place.tables()[0]} ADD CONSTRAINT no_poison CHECK metric != 'poison'")
        insert_all = ClickHouseLogRecordExporter._insert_all

        def away_at_the_fourth(self: ClickHouseLogRecordExporter, client: Any, events: Any) -> None:
            if [each.id for each in events] == [4]:
                raise RuntimeError("the store is away")
            insert_all(self, client, events)

        with monkeypatch.context() as away:
            away.setattr(ClickHouseLogRecordExporter, "_insert_all", away_at_the_fourth)
            for _ in range(3):
                assert place.exporter.export(records) is LogRecordExportResult.FAILURE
        assert place.exporter.export(records) is LogRecordExportResult.SUCCESS
        assert total(place) == 3
    assert [json.loads(row)["id"] for row in refused] == [2]


@one_store
def test_wires_are_looked_at_after_so_many_events(
    apart: Place, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    regression.upsert_policy(
        store, domain="W", metric="sent", enabled=True, mode="confirmed", actor="a", reason="r"
    )
    monkeypatch.setenv("GOLIVE_EVALUATE_EVERY_EVENTS", "20")
    for _ in range(20):
        kpi_success(None, "W", "sent")
    assert pipeline.flush(30)
    pipeline.shutdown()
    with governance.reading(store) as connection:
        assert connection.scalar(text("SELECT verdict FROM regression_state")) == "insufficient_data"


_EMITTING = """
from golive.kpi import emit_kpi

while True:
    print(emit_kpi(None, "W", "sent", True), flush=True)
"""
_DELIVERING = "from golive import pipeline; pipeline.configure(); assert pipeline.flush(60)"


def test_what_killed_processes_had_acknowledged_is_there_once(
    environment: dict[str, str], sqlite_store: str, server_store: str
) -> None:
    environment |= {"DATABASE_URL": sqlite_store, "GOLIVE_EVENTS_URL": server_store}
    acknowledged: list[int] = []
    command = [sys.executable, "-c", _EMITTING]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        acknowledged += [int(process.stdout.readline()) for _ in range(3_000)]
        process.kill()
        *whole, _ = process.stdout.read().split("\n")
        acknowledged += map(int, whole)
        process.wait()
        process.stdout.close()
    subprocess.run([sys.executable, "-c", _DELIVERING], env=environment, check=True, timeout=120)
    with opened(server_store) as place, place.reading() as reader:
        found = [each.id for each in everything(reader)]
    assert len(set(found)) == len(found)
    assert set(acknowledged) <= set(found)


def test_merging_changes_nothing_that_is_read(clickhouse_store: str) -> None:
    batch = [event(number, number, correlation_id=f"deal_{number % 7}") for number in range(1, 200)]
    with opened(clickhouse_store) as place, place.reading() as reader:
        for _ in range(3):
            place.exporter._insert(batch)
        before = (reader.summary(), reader.timeline("deal_3"), reader.newest("W", "sent", 50))
        assert int(place.execute("SELECT count() FROM kpi_event")) == 3 * 199
        for table in place.tables():
            place.execute(f"SYSTEM START MERGES {table}")
            place.execute(f"OPTIMIZE TABLE {table} FINAL")
        assert int(place.execute("SELECT count() FROM kpi_event")) == 199
        assert (reader.summary(), reader.timeline("deal_3"), reader.newest("W", "sent", 50)) == before


def test_a_fingerprint_never_changes() -> None:
    """It is in the key of stored rows: with another one an event written again would be there twice."""
    given = event(7, 1.5, value=2, actor="ann", detail='{"a":1}', trace_id="0" * 32, duration_ms=1)
    assert fingerprint(given) == fingerprint(given._replace(value=2.0, duration_ms=1.0, sampled=True))
    assert fingerprint(given) == 4578478063438082676
    assert fingerprint(given._replace(emitter=2)) != fingerprint(given)
