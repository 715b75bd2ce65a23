"""Who evaluates: several processes at once, a command, and the process that writes the events."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from golive import governance, kpi, pipeline, regression, risk
from golive.database import normalise_url
from golive.exporters.tripwires import AfterEvents
from tests.contract.conftest import Golive
from tests.support.cli import golive as run
from tests.support.service import audited, wait_until
from tests.support.stores import one_store
from tests.support.wires import CAPITAL, WHOLESALE, at_rate, enable, fill, standing

EVALUATOR = Path(__file__).parents[1] / "support" / "programs" / "evaluator.py"


def throttle(url: str) -> float:
    with governance.reading(url) as connection:
        [found] = [policy for policy in risk.policies(connection) if policy.engine == "WHOLESALE"]
    return found.throttle


def trips(url: str) -> int:
    return sum(act["action"] == "regression_state.trip" for act in audited(url))


def test_evaluators_in_several_processes_trip_once(store: str) -> None:
    enable(store, WHOLESALE, throttle_ladder=[0.5, 0.25, 0.1])
    fill(store, WHOLESALE, at_rate(0.95, 200) + [False] * 50)
    command = [sys.executable, str(EVALUATOR), store, *WHOLESALE, "15"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    counted = [process.communicate("go\n", timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(map(int, counted)) == [0, 0, 1]
    assert trips(store) == 1
    assert throttle(store) == 0.5
    assert standing(store, WHOLESALE).trips == 1


def test_evaluators_in_many_threads_trip_once_and_a_shadow_counts_once(store: str) -> None:
    enable(store, WHOLESALE)
    enable(store, CAPITAL, shadow=True)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    fill(store, CAPITAL, [10.0] * 200 + [1.0] * 50)
    tripped: list[bool] = []
    barrier = threading.Barrier(4)

    def evaluate() -> None:
        barrier.wait()
        tripped.extend(each.tripped for each in regression.evaluate_all(store))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(tripped), sum(tripped), trips(store)) == (8, 1, 1)
    assert standing(store, CAPITAL).shadow_trips == 1


def evaluate(shell: dict[str, str], cwd: Path, *arguments: str, code: int) -> str:
    done = run("evaluate", *arguments, cwd=cwd, environment=shell, check=code)
    return done.stdout + done.stderr


@one_store
def test_the_command_tells_by_its_exit_code_whether_one_is_tripped(
    store: str, environment: dict[str, str], tmp_path: Path
) -> None:
    shell = environment | {"DATABASE_URL": store}
    assert "No tripwire is enabled" in evaluate(shell, tmp_path, "--all", code=0)
    assert "DOMAIN and METRIC" in evaluate(shell, tmp_path, code=2)
    assert "has no tripwire" in evaluate(shell, tmp_path, "NO", "wire", code=2)
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 249)
    assert "insufficient_data" in evaluate(shell, tmp_path, *WHOLESALE, code=3)
    fill(store, WHOLESALE, [True])
    assert "ok" in evaluate(shell, tmp_path, "--all", code=0)
    fill(store, WHOLESALE, [False] * 50, gap_s=1e-5)
    first = evaluate(shell, tmp_path, "--all", code=1)
    assert "WHOLESALE/contract_rate TRIPPED: WHOLESALE was throttled from 1 to nothing" in first
    [found] = json.loads(evaluate(shell, tmp_path, "--all", "--format", "json", code=1))
    assert (found["triggered"], found["tripped"]) == (True, False)
    assert found["finding"]["baseline"] == 1
    review = run("review", cwd=tmp_path, environment=shell).stdout
    assert "TRIPPED at" in review
    assert "disabled" in review

    def rearm(*options: str, code: int = 0) -> str:
        done = run("rearm", *WHOLESALE, *options, cwd=tmp_path, environment=shell, check=code)
        return done.stdout + done.stderr

    assert "reason" in rearm("--reason", " ", code=2)
    assert "an act of its own" in rearm("--reason", "mended")
    assert not standing(store, WHOLESALE).triggered
    assert "not tripped" in rearm("--reason", "mended", code=2)
    assert audited(store)[-1]["actor"].startswith("cli:")


def test_new_events_bring_an_evaluation_in_the_background(
    golive: Golive, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_EVALUATE_EVERY_EVENTS", "50")
    golive.start()
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200, gap_s=0.001)
    for _ in range(50):
        kpi.kpi_fail(None, *WHOLESALE)
    wait_until(lambda: trips(store) == 1)
    assert throttle(store) == 0


def test_events_of_the_business_transaction_count_once_it_commits(
    golive: Golive, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_EVALUATE_EVERY_EVENTS", "3")
    golive.start()
    enable(store, CAPITAL, blind_after_s=60)
    fill(store, CAPITAL, [500.0] * 247, gap_s=0.001)
    with Session(golive.engine) as session:
        session.execute(text("INSERT INTO deal (id, name) VALUES (1, 'one')"))
        for _ in range(3):
            kpi.kpi_value(session, *CAPITAL, 500.0)
        session.commit()
    wait_until(lambda: verdict(store) == "ok")


def test_an_ending_process_evaluates_what_is_due(
    golive: Golive, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_EVALUATE_EVERY_EVENTS", "1")
    golive.start()
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 49, gap_s=0.001)
    kpi.kpi_fail(None, *WHOLESALE)
    pipeline.shutdown()
    assert trips(store) == 1


def test_a_store_that_cannot_be_asked_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = AfterEvents(normalise_url(f"sqlite:///{tmp_path / 'none' / 'none.db'}"), 1)
    for _ in range(3):
        waiting.saw([WHOLESALE])
    wait_until(lambda: caplog.records)
    waiting.stop()
    assert len(caplog.records) == 1
    assert "a tripwire could not be evaluated" in caplog.text


def test_only_streams_with_enough_new_events_are_due(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    evaluated: list[Any] = []
    monkeypatch.setattr(AfterEvents, "_evaluate", lambda _, due: evaluated.append(due))
    counting = AfterEvents(normalise_url(store), 3)
    counting.saw([WHOLESALE, WHOLESALE, CAPITAL, CAPITAL])
    assert counting._thread is None
    counting.saw([WHOLESALE])
    wait_until(lambda: evaluated == [{WHOLESALE}])
    counting.stop()


def verdict(url: str) -> str | None:
    with governance.reading(url) as connection:
        found = {(state.domain, state.metric): state for state in regression.states(connection)}
    return found[CAPITAL].verdict if CAPITAL in found else None
