"""The first lines a newcomer writes, in a process that configures nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from golive.database import normalise_url, upgrade

PROGRAM = """
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

db = Session(create_engine({url!r}))


def run_matching_algorithm():
    return 42


# 2. Emit Success KPI
from golive.kpi import kpi_success

kpi_success(db, "WHOLESALE", "offer_sent", actor="broker", correlation_id="offer_123")

# 3. Emit Failure KPI
from golive.kpi import kpi_fail

kpi_fail(db, "WHOLESALE", "lead_rejected",
         actor="heimdall", correlation_id="lead_456",
         detail={{"reason": "low_motivation", "score": 0.32}})

# 4. Emit Numeric KPI
from golive.kpi import kpi_value

kpi_value(db, "CAPITAL", "roi_event", value=2500.50, actor="settlement", correlation_id="deal_789")

# 5. Auto Success/Fail (Context Manager)
from golive.kpi import kpi_timed_step

with kpi_timed_step(db, "BUYER_MATCH", "algorithm_run", actor="matcher"):
    result = run_matching_algorithm()
    # Success KPI auto-recorded if succeeds
    # Fail KPI auto-recorded if exception

# The service's own signature, by position
from golive.kpi import emit_kpi

event_id = emit_kpi(db, "WHOLESALE", "profit", None, 500.0, "broker", "deal_789", "a plain string")
assert isinstance(event_id, int)
"""

EXPECTED = [
    ("WHOLESALE", "offer_sent", True, None, "broker", "offer_123"),
    ("WHOLESALE", "lead_rejected", False, None, "heimdall", "lead_456"),
    ("CAPITAL", "roi_event", None, 2500.5, "settlement", "deal_789"),
    ("BUYER_MATCH", "algorithm_run", True, None, "matcher", None),
    ("WHOLESALE", "profit", None, 500.0, "broker", "deal_789"),
]


def rows(url: Any) -> list[Any]:
    engine = create_engine(normalise_url(url))
    with engine.connect() as connection:
        found = list(connection.execute(text("SELECT * FROM kpi_event ORDER BY id")))
    engine.dispose()
    return found


@pytest.mark.parametrize("by_environment", [True, False], ids=["DATABASE_URL", "db"])
def test_the_snippets_record_their_rows_without_configure(
    store_url: Any, environment: dict[str, str], tmp_path: Path, by_environment: bool
) -> None:
    url = normalise_url(store_url)
    if url.get_backend_name() == "postgresql":
        upgrade(url)
    text_url = url.render_as_string(hide_password=False)
    if by_environment:
        environment["DATABASE_URL"] = text_url
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(url=text_url)],
        env=environment,
        cwd=tmp_path,
        check=True,
        timeout=60,
    )
    found = rows(url)
    assert [(r.domain, r.metric, r.success, r.value, r.actor, r.correlation_id) for r in found] == EXPECTED
    assert found[3].duration_ms >= 0


def test_with_neither_the_rows_are_in_golive_db(environment: dict[str, str], tmp_path: Path) -> None:
    program = "from golive.kpi import kpi_success; kpi_success(None, 'W', 'sent')"
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True, timeout=60)
    assert [row.metric for row in rows(f"sqlite:///{tmp_path}/golive.db")] == ["sent"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("DATABASE_URL", "not a url"),
        ("GOLIVE_MAX_SERIES", "many"),
    ],
)
def test_a_configuration_that_cannot_work_stops_no_business(
    environment: dict[str, str], tmp_path: Path, name: str, value: str
) -> None:
    program = (
        "from golive import kpi, pipeline\n"
        "with kpi.kpi_timed_step(None, 'W', 'step'): kpi.kpi_success(None, 'W', 'sent')\n"
        "print('business', pipeline.account().discarded)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, name: value},
        cwd=tmp_path,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "business Counter({'error': 2})\n"
    assert done.stderr.count("golive cannot start") == 1
    assert "hunter2" not in done.stderr


def test_a_missing_schema_on_postgresql_names_the_command_and_loses_nothing(
    postgres_url: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    url = normalise_url(postgres_url)
    environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
    environment["GOLIVE_SHUTDOWN_SECONDS"] = "1"

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
        )  # fmt: skip
        return done.stderr

    said = run("from golive.kpi import kpi_success; kpi_success(None, 'W', 'sent')")
    assert said.count("golive db upgrade") == 1
    upgrade(url)
    run("from golive import pipeline; pipeline.configure(); assert pipeline.flush(10)")
    assert [row.metric for row in rows(url)] == ["sent"]
    assert os.listdir(tmp_path / "state") == ["golive"]
