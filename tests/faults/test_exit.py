"""However a process ends by itself or by SIGTERM, its events are rows when it is gone (E4)."""

import signal
import sys
import time

import pytest

from golive import host_account
from tests.faults import promises
from tests.faults.machine import Machine
from tests.faults.web import Load, acknowledged, gunicorn, serving


@pytest.mark.parametrize(
    ("how", "returncode", "extra"),
    [("return", 0, []), ("exit", 3, []), ("raise", 1, []), ("raise-in-step", 1, ["step"])],
)
def test_a_program_that_ends_leaves_nothing_behind(
    machine: Machine, how: str, returncode: int, extra: list[str]
) -> None:
    done = machine.run("ending.py", how, 500, returncode=returncode)
    assert machine.correlation_ids() == sorted([*done.stdout.split(), *extra])
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_a_program_that_ends_leaves_nothing_behind_on_postgresql(postgres_machine: Machine) -> None:
    done = postgres_machine.run("ending.py", "return", 500)
    assert postgres_machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(postgres_machine)
    promises.counters_equal_rows(postgres_machine)


@pytest.mark.parametrize("how", ["read", "thread", "stopped", "write", "close", "commit", "daemon"])
def test_a_session_open_at_the_end_is_decided_as_if_it_ended_with_the_program(
    any_machine: Machine, how: str
) -> None:
    any_machine.recover()  # makes the tables on SQLite
    any_machine.run("open_session.py", how)
    if how in ("commit", "stopped"):
        any_machine.recover()  # what comes after the last delivery may wait for the next process
    true = how in ("read", "thread", "stopped", "commit")
    assert any_machine.written() == ({("EXIT", how): 1} if true else {})
    promises.counters_equal_rows(any_machine)
    discarded = host_account.read([any_machine.store_folder()], 400).discarded
    times = {reason: counted.times for reason, counted in discarded.items()}
    # A thread that runs on may commit yet: what it held is nobody's to decide.
    assert times == ({"uncommitted": 1} if how in ("write", "close", "commit") else {})
    promises.the_spool_is_empty(any_machine)


@pytest.mark.parametrize(
    ("signum", "returncodes"),
    [(signal.SIGTERM, [-signal.SIGTERM]), (signal.SIGINT, [1, 130, -signal.SIGINT])],
)
def test_a_signal_ends_a_program_only_after_its_events_are_rows(
    machine: Machine, signum: signal.Signals, returncodes: list[int]
) -> None:
    with machine.started("ending.py", "wait", 100) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(150)]
        process.send_signal(signum)
        rest, errors = process.communicate(timeout=30)
        assert process.returncode in returncodes, errors
    # The signal may come between the call's return and the print, and cut a line.
    noted = "".join(printed) + rest
    lines = noted.splitlines() if noted.endswith("\n") else noted.splitlines()[:-1]
    rows = machine.correlation_ids()
    assert set(lines) <= set(rows)
    assert len(rows) == len(set(rows))
    assert len(rows) - len(lines) <= 1
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_what_is_committed_when_sigterm_comes_is_counted_by_the_next_process(any_machine: Machine) -> None:
    done = any_machine.run("ending.py", "commit", 10, returncode=-signal.SIGTERM)
    any_machine.recover()
    assert any_machine.correlation_ids() == sorted([*done.stdout.split(), "committed"])
    promises.the_spool_is_empty(any_machine)
    promises.counters_equal_rows(any_machine)


def test_sigterm_under_uvicorn_leaves_nothing_behind(machine: Machine) -> None:
    command = [sys.executable, "-m", "uvicorn", "web:app", "--host", "127.0.0.1", "--port", "PORT"]
    with serving(machine, *command) as (process, url), Load(f"{url}/slow"):
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    events = acknowledged(machine)
    assert len(events) > 4
    assert machine.correlation_ids() == events
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


@pytest.mark.parametrize("worker", ["sync", "uvicorn"])
def test_sigterm_under_gunicorn_leaves_nothing_behind(machine: Machine, worker: str) -> None:
    with serving(machine, *gunicorn(worker, 2)) as (process, url), Load(f"{url}/slow"):
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    events = acknowledged(machine)
    assert len(events) > 4
    assert machine.correlation_ids() == events
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)
