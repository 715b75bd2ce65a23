"""`golive db maintain`: old events go, what tripwires read stays, and nothing else is touched."""

import datetime as dt
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from golive import audit, go_live, regression
from golive.cli import app
from golive.database import normalise_url
from golive.events import KpiEvent
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import IdGenerator, id_at
from golive.maintenance.maintaining import maintain
from tests.support.stores import one_store

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def event(
    number: int, at: dt.datetime, metric: str = "sent", recorded: dt.datetime | None = None
) -> KpiEvent:
    created_ms = round((recorded or at).timestamp() * 1000)
    return KpiEvent(
        id=id_at(created_ms, number), emitter=1, domain="W", metric=metric, success=True, value=None,
        actor=None, correlation_id=str(number), detail=None, trace_id=None, span_id=None, sampled=False,
        duration_ms=None, created_ns=round(at.timestamp() * 1000) * 1_000_000,
    )  # fmt: skip


def write(store: str, *events: KpiEvent) -> None:
    exporter = SqlLogRecordExporter(normalise_url(store))
    assert exporter.write(events) == len(events)
    exporter.shutdown()


def left(business: Engine) -> list[str]:
    with business.connect() as connection:
        found = connection.scalars(text("SELECT correlation_id FROM kpi_event"))
        return sorted(map(str, found), key=int)


def command(store: str, *options: str) -> str:
    done = CliRunner().invoke(app, ["db", "maintain", "--database-url", store, *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def spread(n: int, days: int, metric: str = "sent") -> list[KpiEvent]:
    return [event(number, NOW - days * DAY * (n - number) / n, metric) for number in range(n)]


def test_without_a_retention_nothing_goes(store: str, business: Engine) -> None:
    write(store, event(1, NOW - 9_000 * DAY))
    assert maintain(normalise_url(store), now=NOW).events_deleted == 0
    assert left(business) == ["1"]


def test_what_happened_and_was_recorded_too_long_ago_goes(store: str, business: Engine) -> None:
    write(store, *spread(5_000, 100))
    done = maintain(normalise_url(store), retention_days=30, now=NOW)
    assert done[:3] == (NOW - 30 * DAY, 3_500, 0)
    assert left(business) == [str(number) for number in range(3_500, 5_000)]
    assert maintain(normalise_url(store), retention_days=30, now=NOW).events_deleted == 0


def test_an_old_outcome_recorded_lately_stays_and_so_does_a_late_one_with_an_old_id(
    store: str, business: Engine
) -> None:
    reported_late = event(1, NOW - 60 * DAY, recorded=NOW - DAY)
    adopted = event(2, NOW - DAY)._replace(id=7)
    adopted_and_old = event(3, NOW - 60 * DAY)._replace(id=8)
    write(store, reported_late, adopted, adopted_and_old)
    assert maintain(normalise_url(store), retention_days=30, now=NOW).events_deleted == 1
    assert left(business) == ["1", "2"]


def test_what_a_tripwire_reads_stays(store: str, business: Engine) -> None:
    regression.upsert_policy(
        store, domain="W", metric="seldom", enabled=False, mode="threshold",
        window_events=1_000, baseline_events=1_000, actor="t", reason="t",
    )  # fmt: skip
    write(store, *spread(21_000, 400, "seldom"), event(21_001, NOW - 100 * DAY, "other"))
    before = regression.evaluate_policy(store, "W", "seldom", now=NOW).finding
    done = maintain(normalise_url(store), retention_days=30, now=NOW)
    # Ten times window and baseline stay; less than that is younger than 30 days.
    assert done.events_deleted == 1_000 + 1
    assert left(business) == [str(number) for number in range(1_000, 21_000)]
    assert regression.evaluate_policy(store, "W", "seldom", now=NOW).finding == before


@one_store
def test_of_a_stream_with_fewer_events_all_stay(store: str, business: Engine) -> None:
    regression.upsert_policy(store, domain="W", metric="sent", actor="t", reason="t")
    write(store, event(1, NOW - 9_000 * DAY))
    assert maintain(normalise_url(store), retention_days=1, now=NOW)[:3] == (NOW - DAY, 0, 1)
    assert left(business) == ["1"]


def test_no_other_table_is_touched(store: str, business: Engine) -> None:
    go_live.engage_kill_switch(store, actor="t", reason="t")
    with business.connect() as connection:
        tables = [
            name for name in connection.scalars(text(_TABLES[business.dialect.name])) if name != "kpi_event"
        ]
        before = {name: list(connection.execute(text(f"SELECT * FROM {name}"))) for name in tables}
    write(store, event(1, NOW - 9_000 * DAY))
    maintain(normalise_url(store), retention_days=1, now=NOW + 9_000 * DAY)
    with business.connect() as connection:
        assert {name: list(connection.execute(text(f"SELECT * FROM {name}"))) for name in tables} == before
    assert audit.verify(store).ok


def test_several_at_once_while_events_come_in_lose_nothing(store: str, business: Engine) -> None:
    write(store, *spread(8_000, 100))
    generate = IdGenerator()
    fresh = [
        event(100_000 + n, NOW)._replace(id=generate(), created_ns=2_000_000_000 * 10**9)
        for n in range(1_000)
    ]
    failures: list[BaseException] = []

    def run(act: Any) -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)

    def emit() -> None:
        for start in range(0, len(fresh), 20):
            write(store, *fresh[start : start + 20])

    def clear() -> None:
        maintain(normalise_url(store), retention_days=30, now=NOW)

    threads = [threading.Thread(target=run, args=[act]) for act in (clear, clear, emit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert left(business) == [str(n) for n in range(5_600, 8_000)] + [str(100_000 + n) for n in range(1_000)]


def test_freed_pages_are_given_back_where_the_file_is_made_for_it(sqlite_store: str, tmp_path: Path) -> None:
    file = tmp_path / "golive.db"
    with sqlite3.connect(file) as connection:
        connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")
    connection.close()
    write(sqlite_store, *spread(20_000, 100))
    maintain(normalise_url(sqlite_store), retention_days=1, now=NOW + 200 * DAY)
    connection = sqlite3.connect(file)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    connection.close()
    assert pages < 200


def test_the_command_says_what_it_would_do_and_then_does_it(
    store: str, business: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    write(store, *(event(number, now - (100 - number) * DAY) for number in range(100)))
    assert "events are kept for ever" in command(store)
    monkeypatch.setenv("GOLIVE_RETENTION_DAYS", "50")
    would = json.loads(command(store, "--dry-run", "--format", "json"))
    assert (would["dry_run"], would["events_deleted"], would["events_kept"]) == (True, 51, 0)
    assert len(left(business)) == 100
    assert "51 events" in command(store)
    assert len(left(business)) == 49
    assert "30 events" in command(store, "--retention-days", "20")


@one_store
@pytest.mark.parametrize("days", ["0", "-3", "many"])
def test_a_retention_that_cannot_be_is_one_line(
    store: str, monkeypatch: pytest.MonkeyPatch, days: str
) -> None:
    monkeypatch.setenv("GOLIVE_RETENTION_DAYS", days)
    done = CliRunner().invoke(app, ["db", "maintain", "--database-url", store])
    assert done.exit_code == 2
    assert "days" in done.stderr
    assert len(done.stderr.splitlines()) == 1


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
