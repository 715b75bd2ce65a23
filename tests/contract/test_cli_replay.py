"""`golive replay` where it cannot record everything, and where it is stopped."""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cli import COMMAND, golive

HEADER = "correlation_id,domain,metric,success,value,actor,occurred_at,detail\n"

# A store so slow that the spool fills up, and then drains.
SLOW = """
import sys, time
from golive.exporters import sql
export = sql.SqlLogRecordExporter.export
sql.SqlLogRecordExporter.export = lambda self, batch: (time.sleep(0.4), export(self, batch))[1]
sys.argv[0] = "golive"
from golive.cli import main
main()
"""


def write_log(path: Path, lines: int) -> Path:
    events = (
        f"d{n % 50},W,m,true,,,2026-01-01T00:{n // 60 % 60:02d}:{n % 60:02d}Z,{'x' * 200}\n"
        for n in range(lines)
    )
    path.write_text(HEADER + "".join(events))
    return path


def rows(tmp_path: Path) -> int:
    connection = sqlite3.connect(tmp_path / "golive.db")
    found: int = connection.execute("SELECT count(*) FROM kpi_event").fetchone()[0]
    connection.close()
    return found


@pytest.mark.faults
@pytest.mark.parametrize("policy", ["drop", "raise"])
def test_events_a_full_spool_refused_are_told(
    policy: str, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"GOLIVE_SPOOL_MAX_BYTES": "1048576", "GOLIVE_SPOOL_WHEN_FULL": policy}
    done = subprocess.run(
        [sys.executable, "-c", SLOW, "replay", str(write_log(tmp_path / "log.csv", 8_000))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    there = rows(tmp_path)
    assert there < 8_000
    assert f"{8_000 - there:,} EVENTS LOST" in done.stdout
    assert "all delivered" not in done.stdout
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_event_without_a_correlation_id_gets_none(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + ",W,m,true,,,2026-01-01,\n")
    golive("replay", log, cwd=tmp_path, environment=environment)
    connection = sqlite3.connect(tmp_path / "golive.db")
    assert connection.execute("SELECT correlation_id FROM kpi_event").fetchall() == [(None,)]
    connection.close()


def test_ctrl_c_delivers_what_was_replayed_and_counts_it(environment: dict[str, str], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 3_000)
    process = subprocess.Popen(
        [*COMMAND, "replay", str(log), "--speed", "100"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 0 < rows(tmp_path) < 3_000
    assert f"{rows(tmp_path):,} events replayed" in out
    assert "stopped" in err
