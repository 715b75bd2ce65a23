"""`golive import` of awkward logs: nothing lost, nothing twice, one line where it cannot go on."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from golive.database import normalise_url
from tests.support.cli import COMMAND, golive
from tests.support.stores import one_store

HEADER = "correlation_id,domain,metric,success,value,actor,occurred_at,detail\n"


@pytest.fixture
def environment(store: Any, environment: dict[str, str]) -> dict[str, str]:
    environment["DATABASE_URL"] = normalise_url(store).render_as_string(hide_password=False)
    return environment


def rows(environment: dict[str, str]) -> int:
    engine = create_engine(environment["DATABASE_URL"])
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT count(*) FROM kpi_event")).scalar_one()
    engine.dispose()
    return found


def test_equal_lines_of_one_moment_are_all_there_and_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + ",W,sent,true,,,2026-01-01,\n" * 20_000)
    done = golive("import", log, cwd=tmp_path, environment=environment)
    assert "20,000 events written, 0 there already" in done.stdout
    assert rows(environment) == 20_000
    with log.open("a") as file:
        file.write(",W,sent,true,,,2026-01-01,\n" * 5)
    done = golive("import", log, cwd=tmp_path, environment=environment)
    assert "5 events written, 20,000 there already" in done.stdout
    assert rows(environment) == 20_005


@pytest.mark.parametrize(
    ("rejects", "message"),
    [("absent/rejects.jsonl", "No such file"), ("log.csv", "expected another file than the log itself")],
)
def test_a_rejects_file_that_cannot_be_is_one_line(
    environment: dict[str, str], tmp_path: Path, rejects: str, message: str
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "bad\n")
    done = golive("import", log, "--rejects", rejects, cwd=tmp_path, environment=environment, check=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert log.read_text() == HEADER + "bad\n"


def test_an_error_never_carries_control_codes_of_the_log(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("\x1b[31mred\n1\n")
    done = golive("import", log, cwd=tmp_path, environment=environment, check=2)
    assert "\x1b" not in done.stderr


@pytest.fixture
def importing(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """An import that is under way, in a process group of its own, as a terminal would have it."""
    log = tmp_path / "log.csv"
    log.write_text(
        HEADER + "".join(f"d{n},W,m,true,,,2026-01-01T00:00:00.{n:06d}Z,\n" for n in range(200_000))
    )
    process = subprocess.Popen(
        [*COMMAND, "import", str(log)],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not rows(environment):
        time.sleep(0.02)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stderr
    process.stderr.close()


@one_store
def test_ctrl_c_says_what_to_do_and_the_next_run_adds_the_rest(
    importing: subprocess.Popen[str], environment: dict[str, str], tmp_path: Path
) -> None:
    os.killpg(importing.pid, signal.SIGINT)
    said = importing.communicate(timeout=60)[1]
    assert said.splitlines() == ["stopped: run it again to add the rest"]
    assert importing.returncode == 130
    assert 0 < rows(environment) < 200_000
    golive("import", "log.csv", cwd=tmp_path, environment=environment)
    assert rows(environment) == 200_000


def test_a_killed_import_leaves_no_process_behind(importing: subprocess.Popen[str]) -> None:
    importing.kill()
    importing.communicate(timeout=20)  # ends when the last process that holds its standard error has ended
