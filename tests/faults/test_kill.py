"""An acknowledged event survives `kill -9` of its process: it is a row, once (E4, E5)."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer


def live_and_die(machine: Machine, lives: int, lanes: int = 2) -> Path:
    """Kill `lives` children at random moments, in some lanes at once; return what they acknowledged."""
    acknowledged = machine.folder / "acknowledged"
    acknowledged.mkdir()
    with ExitStack() as running:
        for process in start_lives(machine, acknowledged, lives, lanes, running):
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors
    return acknowledged


def start_lives(machine: Machine, acknowledged: Path, lives: int, lanes: int, running: ExitStack) -> list:  # type: ignore[type-arg]
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return [
        running.enter_context(machine.started("lives.py", acknowledged, lives // lanes, f"{seed}-{lane}"))
        for lane in range(lanes)
    ]


def assert_every_acknowledged_event_is_a_row_once(machine: Machine, acknowledged: Path) -> None:
    rows = machine.rows()
    by_correlation = {row.correlation_id: row for row in rows}
    assert len(by_correlation) == len(rows), "an event is there twice"
    printed: dict[str, str] = {}
    files = list(acknowledged.iterdir())
    for file in files:
        for line in file.read_text().splitlines():
            correlation_id, _, event_id = line.partition(" ")
            printed[correlation_id] = event_id
    print(f"{len(files)} lives, {len(printed)} acknowledged, {len(rows)} rows")
    lost = printed.keys() - by_correlation.keys()
    assert not lost, f"{len(lost)} lost, such as {sorted(lost)[:5]}"
    for correlation_id, event_id in printed.items():
        if event_id:
            # Two processes may have picked one id; then one of the events got another of its millisecond.
            assert by_correlation[correlation_id].id >> 20 == int(event_id) >> 20
    # A child may have died between the call's return and its own note of it.
    assert len(rows) - len(printed) <= len(files)


def test_events_acknowledged_before_a_kill_are_rows_once(machine: Machine) -> None:
    acknowledged = live_and_die(machine, 6)
    machine.recover()
    assert_every_acknowledged_event_is_a_row_once(machine, acknowledged)
    assert machine.left_behind() == []


@pytest.mark.faults
def test_a_hundred_kills_lose_nothing(machine: Machine) -> None:
    acknowledged = live_and_die(machine, 100)
    machine.recover()
    assert_every_acknowledged_event_is_a_row_once(machine, acknowledged)
    assert machine.left_behind() == []


@pytest.mark.faults
def test_kills_lose_nothing_while_postgresql_stops_and_starts(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    machine = postgres_machine
    acknowledged = machine.folder / "acknowledged"
    acknowledged.mkdir()
    outages = 0
    with ExitStack() as running:
        lanes = start_lives(machine, acknowledged, 40, 2, running)
        while any(process.poll() is None for process in lanes):
            time.sleep(random.uniform(0.1, 0.6))
            if random.random() < 0.5:
                postgres_server.stop()
            else:
                postgres_server.kill()
            time.sleep(random.uniform(0.1, 0.6))
            postgres_server.start()
            outages += 1
        for process in lanes:
            _, errors = process.communicate()
            assert process.returncode == 0, errors
    print(outages, "outages")
    assert outages >= 2
    machine.recover()
    assert_every_acknowledged_event_is_a_row_once(machine, acknowledged)
    assert machine.left_behind() == []
