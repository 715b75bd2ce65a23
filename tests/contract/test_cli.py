"""The command line on real files and both databases."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from golive.database import normalise_url
from tests.support.cli import COMMAND, golive
from tests.support.stores import one_store

LOG = Path(os.environ.get("GOLIVE_EVENT_LOG", "")).resolve()
needs_log = pytest.mark.skipif(
    not LOG.is_file(), reason="needs the event log loan-applications.csv.gz: set GOLIVE_EVENT_LOG to it"
)

HEADER = "correlation_id,domain,metric,success,value,actor,occurred_at,detail\n"

# What the log's publisher's README says: events, true, false.
PUBLISHED = {
    "application_outcome": (12_688, 2_246, 10_442),
    "offer_outcome": (6_700, 2_243, 4_457),
    "amount_requested": (13_087, 0, 0),
    "work_complete": (72_413, 72_413, 0),
}


@pytest.fixture
def shell(store: Any, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a shell whose DATABASE_URL is a store of each kind in turn."""
    environment["DATABASE_URL"] = normalise_url(store).render_as_string(hide_password=False)
    return environment


def query(environment: dict[str, str], statement: str) -> list[Any]:
    engine = create_engine(environment["DATABASE_URL"])
    with engine.connect() as connection:
        found = list(connection.execute(text(statement)))
    engine.dispose()
    return found


def write_log(path: Path, lines: int, bad: dict[int, str] | None = None) -> Path:
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(2, lines + 2):
            good = f"deal_{number % 50},W,m{number % 7},{number % 3 != 0},,x,2026-01-01T00:00:00.{number:06d}Z,\n"
            file.write((bad or {}).get(number, good))
    return path


def test_an_import_reports_every_line(shell: dict[str, str], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 12_000, {7: "nonsense\n", 11_000: "a,W,m,maybe,,,2026-01-01,\n"})
    done = golive("import", log, cwd=tmp_path, environment=shell, check=1)
    assert "12,000 lines read, 11,998 events written, 0 there already, 2 lines rejected" in done.stdout
    assert done.stderr.splitlines() == [
        "line 7: expected 8 columns, got 1",
        "line 11000: success: expected true, false or nothing, got 'maybe'",
    ]
    rejects = [json.loads(line) for line in (tmp_path / "log.csv.rejects.jsonl").read_text().splitlines()]
    assert [(line["number"], line["raw"]) for line in rejects] == [
        (7, "nonsense"),
        (11_000, "a,W,m,maybe,,,2026-01-01,"),
    ]
    assert query(shell, "SELECT count(*) FROM kpi_event")[0][0] == 11_998


@pytest.mark.faults
def test_an_import_killed_half_way_and_run_again_is_there_once(shell: dict[str, str], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 60_000)
    process = subprocess.Popen([*COMMAND, "import", str(log)], cwd=tmp_path, env=shell)
    while process.poll() is None and query(shell, "SELECT count(*) FROM kpi_event")[0][0] < 5_000:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert query(shell, "SELECT count(*) FROM kpi_event")[0][0] > 0
    golive("import", log, cwd=tmp_path, environment=shell)
    done = golive("import", log, cwd=tmp_path, environment=shell)
    assert "0 events written, 60,000 there already" in done.stdout
    assert query(shell, "SELECT count(*), count(DISTINCT created_at) FROM kpi_event") == [(60_000, 60_000)]


@one_store
def test_mapping_constants_and_source_are_options(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text("when,step\n2026-01-01,sent\n")
    options = [
        "--map",
        "occurred_at=when",
        "--map",
        "metric=step",
        "--set",
        "domain=W",
        "--set",
        "success=yes",
    ]
    golive("import", "steps.csv", *options, "--source", "old", cwd=tmp_path, environment=shell)
    (tmp_path / "steps.csv").rename(tmp_path / "renamed.csv")
    golive("import", "renamed.csv", *options, "--source", "old", cwd=tmp_path, environment=shell)
    assert query(shell, "SELECT domain, metric, success FROM kpi_event") == [("W", "sent", True)]


@one_store
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "absent.csv"], "absent.csv: No such file"),
        (["import", "x.csv", "--map", "domain"], "--map: expected FIELD="),
        (["import", "x.csv", "--set", "colour=red"], "'colour' is no field"),
        (["replay", "x.csv", "--speed", "fast"], "--speed: expected a number"),
        (["kpi", "summary", "--since", "soon"], "--since: expected a time"),
        (["kpi", "summary", "--database-url", "mysql://u:hunter2@h/d"], "SQLite"),
        (["kpi", "summary", "--database-url", "postgresql://u:hunter2@127.0.0.1:1/d"], "cannot be used"),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    shell: dict[str, str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = golive(*arguments, cwd=tmp_path, environment=shell, check=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_a_missing_schema_names_the_command(
    postgres_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log.csv", 1)
    for arguments in (["import", str(log)], ["kpi", "summary"]):
        done = golive(
            *arguments, "--database-url", postgres_url, cwd=tmp_path, environment=environment, check=2
        )
        assert "golive db upgrade" in done.stderr
    golive("db", "upgrade", "--database-url", postgres_url, cwd=tmp_path, environment=environment)
    golive("import", log, "--database-url", postgres_url, cwd=tmp_path, environment=environment)


def test_a_replay_drives_the_helpers(shell: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        HEADER
        + "".join(
            f"deal_{number % 5},W,{metric},{success},{value},x,2026-01-01T00:00:{number:02d}Z,\n"
            for number in range(50)
            for metric, success, value in (("sent", "true", ""), ("lost", "false", ""), ("profit", "", "1.5"))
        )
    )
    started = time.monotonic()
    done = golive("replay", log, "--speed", "25", cwd=tmp_path, environment=shell)
    assert time.monotonic() - started > 49 / 25
    assert "150 events replayed" in done.stdout
    assert "all delivered" in done.stdout
    found = query(shell, "SELECT metric, success, value, correlation_id, trace_id FROM kpi_event ORDER BY id")
    assert len(found) == 150
    assert {(row.metric, row.success, row.value) for row in found} == {
        ("sent", True, None),
        ("lost", False, None),
        ("profit", None, 1.5),
    }
    assert len({row.correlation_id for row in found}) == 5
    assert all(row.trace_id for row in found)
    for deal in range(5):
        metrics = [row.metric for row in found if row.correlation_id == f"deal_{deal}"]
        assert metrics == ["sent", "lost", "profit"] * 10


@one_store
def test_the_summary_has_the_rates(shell: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        HEADER
        + "d,W,sent,true,,x,2026-01-01,\n" * 3
        + "d,W,sent,false,,x,2026-01-02,\n"
        + "d,C,roi,,2.5,x,2026-01-03,\n"
        + "d,C,roi,,1.5,x,2026-01-03,\n"
        + "d,W,sent,,,x,2026-01-01,\n"
    )
    golive("import", log, cwd=tmp_path, environment=shell)
    table = golive("kpi", "summary", cwd=tmp_path, environment=shell).stdout
    assert re.search(r"W\.sent +5 +3 +1 +1 +75\.0% +███████▌░░", table)
    assert re.search(r"C\.roi +2 .* 4\.00 +2\.00", table)
    arguments = ["kpi", "summary", "--since", "2026-01-02", "--until", "2026-01-03", "--format", "json"]
    (metric,) = json.loads(golive(*arguments, cwd=tmp_path, environment=shell).stdout)
    assert (metric["domain"], metric["events"], metric["success_rate"]) == ("W", 1, 0.0)
    assert (
        golive("kpi", "summary", "--since", "1h", cwd=tmp_path, environment=shell).stdout
        == "no events in this range of time\n"
    )


@one_store
def test_a_correlation_is_a_timeline(shell: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "correlation_id",
                "domain",
                "metric",
                "success",
                "occurred_at",
                "duration_ms",
                "trace_id",
                "detail",
            ]
        )
        writer.writerow(
            [
                "deal_1",
                "W",
                "step",
                "true",
                "2026-01-01T00:00:00Z",
                "12.5",
                "a" * 32,
                '{"why": "[red]x[/red]\x1b[31m\u202e"}',
            ]
        )
        writer.writerow(["deal_1", "W", "lost", "false", "2026-01-01T00:00:02Z", "", "b" * 32, ""])
        writer.writerow(["deal_2", "W", "other", "true", "2026-01-01T00:00:02Z", "", "", ""])
    golive("import", "log.csv", cwd=tmp_path, environment=shell)
    said = golive("kpi", "correlation", "deal_1", cwd=tmp_path, environment=shell).stdout
    assert said.startswith("deal_1: 2 events in 2.00 s, 2 traces")
    assert re.search(rf"0\.0 ms +W\.step +success +12\.5 ms +{'a' * 32}", said)
    assert re.search(rf"2\.00 s +W\.lost +failure +{'b' * 32}", said)
    assert "[red]x[/red]" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    first, second = json.loads(
        golive("kpi", "correlation", "deal_1", "--format", "json", cwd=tmp_path, environment=shell).stdout
    )
    assert isinstance(first["id"], str)
    assert (second["gap_s"], second["outcome"], first["duration_ms"]) == (2.0, "failure", 12.5)
    golive("kpi", "correlation", "nobody", cwd=tmp_path, environment=shell, check=1)


def published(environment: dict[str, str]) -> dict[str, tuple[int, int, int]]:
    found = query(
        environment,
        "SELECT metric, count(*), sum(CASE WHEN success THEN 1 ELSE 0 END), sum(CASE WHEN success THEN 0 WHEN success IS NULL "
        "THEN 0 ELSE 1 END) FROM kpi_event GROUP BY metric",
    )
    return {metric: (events, true, false) for metric, events, true, false in found}


@one_store
@needs_log
def test_the_real_log_is_imported_to_the_published_counts(shell: dict[str, str], tmp_path: Path) -> None:
    done = golive("import", LOG, cwd=tmp_path, environment=shell)
    assert "262,200 lines read, 262,200 events written" in done.stdout
    assert published(shell).items() >= PUBLISHED.items()


@needs_log
@pytest.mark.faults
def test_the_real_log_is_replayed_to_the_published_counts(shell: dict[str, str], tmp_path: Path) -> None:
    done = golive("replay", LOG, cwd=tmp_path, environment=shell)
    assert "262,200 events replayed" in done.stdout
    assert published(shell).items() >= PUBLISHED.items()
