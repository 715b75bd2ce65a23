"""An acknowledged event survives `kill -9` of its process: it is a row, once (E4, E5)."""

import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from golive import database
from tests.faults import promises
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
    printed: dict[str, str] = {}
    files = list(acknowledged.iterdir())
    for file in files:
        for line in file.read_text().splitlines():
            correlation_id, _, event_id = line.partition(" ")
            printed[correlation_id] = event_id
    print(f"{len(files)} lives, {len(printed)} acknowledged, {len(rows)} rows")
    promises.no_event_is_there_twice(rows)
    promises.every_acknowledged_event_is_a_row(rows, printed)
    # A child may have died between the call's return and its own note of it.
    promises.only_what_was_done_is_there(rows, printed, len(files))


def wait_until_spooled(machine: Machine, events: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        segments = machine.store_folder().glob("*/[0-9]*.log")
        if sum(segment.read_bytes().count(b"\n") for segment in segments) >= events:
            return
        time.sleep(0.02)
    raise AssertionError("the events did not reach the spool")


def deals_of(machine: Machine) -> list[str]:
    engine = database.create_store_engine(database.normalise_url(machine.database_url))
    try:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT id FROM deal")))
    finally:
        engine.dispose()


def test_events_acknowledged_before_a_kill_are_rows_once(machine: Machine) -> None:
    acknowledged = live_and_die(machine, 6)
    machine.recover()
    assert_every_acknowledged_event_is_a_row_once(machine, acknowledged)
    assert machine.left_behind() == []
    assert machine.counted() == machine.written()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_in_the_middle_of_a_delivery_loses_and_doubles_nothing(
    any_machine: Machine, moment: str
) -> None:
    """`before` the batch's commit, and `after` it but before the spool's note of it."""
    with any_machine.started("stuck_delivery.py", moment, 5_000) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        wait_until_spooled(any_machine, 5_000)
        process.kill()
        process.wait()
    assert len(any_machine.rows()) == 0 if moment == "before" else len(any_machine.rows()) > 0
    any_machine.recover()
    assert any_machine.correlation_ids() == [f"{number:06}" for number in range(5_000)]
    assert any_machine.left_behind() == []
    assert any_machine.counted() == any_machine.written()


def test_after_kills_the_events_of_committed_transactions_are_rows_and_no_others(
    any_machine: Machine,
) -> None:
    any_machine.recover()  # makes the tables on SQLite
    said: set[str] = set()
    for life in range(4):
        with any_machine.started("deals.py", life) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.2))
            process.kill()
            said |= set((first + process.stdout.read()).splitlines(keepends=True))
    any_machine.recover()
    committed = sorted(deals_of(any_machine))
    # A deal may have been committed and not yet said, but not the other way round.
    assert {line.strip() for line in said if line.endswith("\n")} <= set(committed)
    rows = any_machine.rows()
    for metric in ("made", "price"):
        assert sorted(str(row.correlation_id) for row in rows if row.metric == metric) == committed
    denied = [str(row.correlation_id) for row in rows if row.metric == "denied"]
    assert set(committed) <= set(denied)
    assert len(denied) - len(committed) <= 4
    assert any_machine.left_behind() == []
    assert any_machine.counted() == any_machine.written()


def test_a_hundred_kills_lose_nothing(machine: Machine) -> None:
    acknowledged = live_and_die(machine, 100)
    machine.recover()
    assert_every_acknowledged_event_is_a_row_once(machine, acknowledged)
    assert machine.left_behind() == []
    assert machine.counted() == machine.written()


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
    assert machine.counted() == machine.written()
