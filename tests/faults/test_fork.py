"""Processes that fork, in every way Python knows: each event is a row, once, whoever emitted it (E4, E2)."""

import signal
import time

import psutil
import pytest

from tests.faults import promises
from tests.faults.machine import Machine
from tests.faults.web import Load, acknowledged, gunicorn, serving
from tests.support.service import wait_until


@pytest.mark.parametrize("way", ["fork", "forkserver", "spawn", "pool"])
def test_children_of_multiprocessing_that_return_leave_nothing_behind(machine: Machine, way: str) -> None:
    done = machine.run("forking.py", way, 200, timeout_s=60)
    assert machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_forked_children_leave_nothing_behind_on_postgresql(postgres_machine: Machine) -> None:
    done = postgres_machine.run("forking.py", "fork", 200, timeout_s=60)
    assert postgres_machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(postgres_machine)
    promises.counters_equal_rows(postgres_machine)


def test_what_sessions_hold_at_a_fork_is_their_own_process_s_to_decide(any_machine: Machine) -> None:
    done = any_machine.run("forking.py", "held", 20, timeout_s=60)
    assert any_machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(any_machine)
    promises.counters_equal_rows(any_machine)


def test_the_counters_of_a_child_do_not_contain_its_parents(machine: Machine) -> None:
    done = machine.run("forking.py", "counters", 200, timeout_s=60)
    assert machine.correlation_ids() == sorted(done.stdout.split())


@pytest.mark.parametrize("way", ["_exit", "threads"])
def test_what_a_child_leaves_behind_at_os_exit_the_next_process_delivers(machine: Machine, way: str) -> None:
    done = machine.run("forking.py", way, 200, timeout_s=60)
    machine.recover()
    assert machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


@pytest.mark.parametrize("worker", ["sync", "uvicorn"])
def test_preloaded_workers_record_what_they_and_their_parent_emitted(machine: Machine, worker: str) -> None:
    command = gunicorn(worker, 4, "--preload")
    with serving(machine, *command, EMIT_AT_IMPORT="200") as (process, url), Load(url) as load:
        wait_until(lambda: len(load.answered_by) == 4, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(load.answered_by) == 4
    assert machine.correlation_ids() == acknowledged(machine)
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


@pytest.mark.parametrize("worker", ["sync", "uvicorn"])
def test_a_killed_worker_loses_nothing_and_its_siblings_deliver_for_it(machine: Machine, worker: str) -> None:
    command = gunicorn(worker, 4, "--preload")
    with serving(machine, *command, EMIT_AT_IMPORT="10") as (process, url):
        with Load(url) as load:
            for _ in range(4):
                wait_until(lambda: len(load.answered_by) >= 3, 30)
                load.answered_by.clear()
                victim = psutil.Process(process.pid).children()[0]
                victim.kill()
                time.sleep(0.3)
        # The server still runs: that the events of the dead are rows now is the work of their siblings.
        wait_until(lambda: set(acknowledged(machine)) <= set(machine.correlation_ids()), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    machine.recover()
    rows, noted = machine.correlation_ids(), acknowledged(machine)
    assert set(noted) <= set(rows)
    assert len(rows) == len(set(rows))
    assert len(rows) - len(noted) <= 4  # recorded, and killed before it was noted
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_a_child_of_a_parent_that_writes_all_the_time_takes_sqlites_locks_for_itself(
    machine: Machine,
) -> None:
    """Not those it inherits, which nobody has any more or which it only believes to have."""
    done = machine.run("forking_and_writing.py", 40, timeout_s=120)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["delivered"] * 40, done.stdout
    children = [str(row.correlation_id) for row in machine.rows() if row.domain == "CHILD"]
    assert sorted(children) == sorted(line.split()[0] for line in done.stdout.splitlines())


def test_preloaded_gevent_workers_record_what_they_and_their_parent_emitted(machine: Machine) -> None:
    # A gevent worker of gunicorn may sleep through SIGTERM, whatever it serves, until it is killed.
    command = gunicorn("gevent", 4, "--preload", "--graceful-timeout", "2")
    with serving(machine, *command, EMIT_AT_IMPORT="200") as (process, url):
        with Load(url) as load:
            wait_until(lambda: len(load.answered_by) == 4, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    machine.recover()
    assert machine.correlation_ids() == acknowledged(machine)
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_greenlets_of_a_patched_process_record_like_threads(any_machine: Machine) -> None:
    done = any_machine.run("greenlets.py", 20, timeout_s=60)
    assert any_machine.correlation_ids() == sorted(done.stdout.split())
    promises.the_spool_is_empty(any_machine)
    promises.counters_equal_rows(any_machine)


def test_threads_that_fork_at_once_do_not_stop_the_delivery(machine: Machine) -> None:
    assert machine.run("forking_at_once.py", timeout_s=60).stdout.split() == ["True"]
    assert machine.written() == {("FORK", "before"): 1, ("FORK", "after"): 1}
