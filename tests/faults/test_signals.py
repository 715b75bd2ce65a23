"""A signal handler that records: it may interrupt its own thread anywhere, and never waits for it (E6)."""

from tests.faults.machine import Machine


def test_a_signal_handler_that_records_never_waits_for_the_thread_it_interrupted(machine: Machine) -> None:
    done = machine.run("interrupted.py", 3, timeout_s=60)
    ids = list(map(int, done.stdout.split()))
    rows = machine.rows()
    assert [row.id for row in rows] == sorted(ids)
    assert sum(row.metric == "handled" for row in rows) > 100
    assert machine.counted() == machine.written()
    assert machine.left_behind() == []
