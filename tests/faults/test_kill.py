"""An acknowledged event survives `kill -9` of its process: it is a row, once (E4, E5)."""

import random
import time

import pytest
from sqlalchemy import text

from golive import database
from tests.faults import promises
from tests.faults.driving import (
    live_and_die,
    live_through_outages,
    wait_until_spooled,
    what_lives_were_told_is_there_once,
)
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer


def deals_of(machine: Machine) -> list[str]:
    engine = database.create_store_engine(database.normalise_url(machine.database_url))
    try:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT id FROM deal")))
    finally:
        engine.dispose()


def test_events_acknowledged_before_a_kill_are_rows_once(machine: Machine) -> None:
    live_and_die(machine, 6)
    machine.recover()
    what_lives_were_told_is_there_once(machine)


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
    promises.the_spool_is_empty(any_machine)
    promises.counters_equal_rows(any_machine)


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
    committed = deals_of(any_machine)
    # A deal may have been committed and not yet said, but not the other way round.
    assert {line.strip() for line in said if line.endswith("\n")} <= set(committed)
    rows = any_machine.rows()
    promises.no_event_is_there_twice(rows)
    promises.events_follow_their_transactions(rows, committed, held=("made", "price"), always=("denied",))
    # Of each life the last deal may have been denied, and not committed.
    assert sum(row.metric == "denied" for row in rows) - len(committed) <= 4
    promises.the_spool_is_empty(any_machine)
    promises.counters_equal_rows(any_machine)


def test_a_hundred_kills_lose_nothing(machine: Machine) -> None:
    live_and_die(machine, 100)
    machine.recover()
    what_lives_were_told_is_there_once(machine)


def test_kills_lose_nothing_while_postgresql_stops_and_starts(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    def away() -> None:
        random.choice([postgres_server.stop, postgres_server.kill])()

    live_through_outages(postgres_machine, 40, away, postgres_server.start)
    postgres_machine.recover()
    what_lives_were_told_is_there_once(postgres_machine)
