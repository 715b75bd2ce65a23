"""The event store is ClickHouse, and it, its network or golive's processes die in the middle of an insert: every
acknowledged event is there once, and is counted once (E2, E4, E5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from golive import database
from tests.faults import promises
from tests.faults.driving import (
    ask,
    flush,
    live_and_die,
    live_through_outages,
    what_lives_were_told_is_there_once,
)
from tests.faults.injectors import stopped
from tests.faults.machine import Machine
from tests.support.clickhouse import ClickHouseServer
from tests.support.proxy import Mode, Proxy

pytestmark = pytest.mark.stack

MANY = 20_000
INSERT = b"Transfer-Encoding: chunked"
"""What the driver inserts comes in chunks; of what asks the length is known."""


@pytest.fixture
def clickhouse_machine(tmp_path: Path, sqlite_url: str, server_store: str) -> Machine:
    return Machine(tmp_path, sqlite_url, events_url=server_store)


@pytest.fixture
def network(clickhouse_machine: Machine, clickhouse_server: ClickHouseServer) -> Iterator[Proxy]:
    """What is between the machine's programs and ClickHouse."""
    proxy = Proxy(clickhouse_server.port)
    through = database.normalise_events_url(str(clickhouse_machine.events_url)).set(port=proxy.port)
    clickhouse_machine.events_url = through.render_as_string(hide_password=False)
    yield proxy
    proxy.close()


def all_is_there(machine: Machine, events: int) -> None:
    rows = [row for row in machine.rows() if row.metric == "event"]
    assert sorted(str(row.correlation_id) for row in rows) == [f"{number:09}" for number in range(events)]
    promises.counters_equal_rows(machine)
    promises.the_spool_is_empty(machine)


def test_kills_of_processes_lose_nothing(clickhouse_machine: Machine) -> None:
    live_and_die(clickhouse_machine, 60)
    clickhouse_machine.recover()
    what_lives_were_told_is_there_once(clickhouse_machine)


def test_kills_of_processes_lose_nothing_while_clickhouse_is_killed_too(
    clickhouse_machine: Machine, clickhouse_server: ClickHouseServer
) -> None:
    live_through_outages(clickhouse_machine, 40, clickhouse_server.kill, clickhouse_server.start)
    clickhouse_machine.recover()
    what_lives_were_told_is_there_once(clickhouse_machine)


def test_events_under_way_are_rows_once_after_each_kill_of_clickhouse(
    clickhouse_machine: Machine, clickhouse_server: ClickHouseServer
) -> None:
    with clickhouse_machine.started("outage.py") as process:
        for round_ in range(1, 4):
            assert int(ask(process, f"emit {MANY}")) == round_ * MANY
            clickhouse_server.kill()
            assert not flush(process, 0.5)[0]
            clickhouse_server.start()
        assert flush(process, 120)[0]
        process.communicate(timeout=30)
    all_is_there(clickhouse_machine, 3 * MANY)


@pytest.mark.parametrize("mode", ["lose commit", "lose answer"])
def test_an_insert_whose_answer_is_lost_is_there_once(
    clickhouse_machine: Machine, network: Proxy, mode: Mode
) -> None:
    network.loses = INSERT
    with clickhouse_machine.started("outage.py") as process:
        for round_ in range(1, 6):
            network.mode = mode
            assert int(ask(process, "emit 2000")) == round_ * 2_000
            assert flush(process, 60)[0]
            assert network.mode == "pass"  # nothing was lost, if it is not
        process.communicate(timeout=30)
    all_is_there(clickhouse_machine, 5 * 2_000)


def test_an_insert_of_which_half_arrives_is_there_once_and_whole(
    clickhouse_machine: Machine, network: Proxy
) -> None:
    with clickhouse_machine.started("outage.py") as process:
        for round_ in range(1, 6):
            network.mode = "reset"
            assert int(ask(process, "emit 2000")) == round_ * 2_000
            assert not flush(process, 0.3)[0]
            network.mode = "pass"
            assert flush(process, 60)[0]
        process.communicate(timeout=30)
    all_is_there(clickhouse_machine, 5 * 2_000)


def test_a_server_that_stands_still_holds_up_nobody_and_gets_all_when_it_goes_on(
    clickhouse_machine: Machine, clickhouse_server: ClickHouseServer
) -> None:
    with clickhouse_machine.started("outage.py") as process:
        assert flush(process, 60)[0]
        with stopped(clickhouse_server.pid):
            assert int(ask(process, f"emit {MANY}")) == MANY
            percentile, longest = map(float, ask(process, "latency 500").split())
            assert percentile < 20
            assert longest < 500
            delivered, took = flush(process, 1)
            assert not delivered
            assert took < 1.5
        assert flush(process, 120)[0]
        process.communicate(timeout=30)
    all_is_there(clickhouse_machine, MANY)
