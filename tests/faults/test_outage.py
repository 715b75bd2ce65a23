"""The store is away: the business goes on, memory stays flat, and nothing is lost nor out of order (E4, E6)."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from golive import database
from tests.faults import promises
from tests.faults.driving import ask, flush
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer

MEBIBYTE = 1 << 20


@pytest.mark.parametrize("events", [5_000, 200_000])
def test_an_outage_costs_no_memory_loses_nothing_and_keeps_the_order(
    postgres_machine: Machine, postgres_server: PostgresServer, events: int
) -> None:
    with postgres_machine.started("outage.py") as process:
        ask(process, "emit 2000")
        assert flush(process, 30)[0]
        before = int(ask(process, "rss"))
        postgres_server.stop()
        assert int(ask(process, f"emit {events}")) == events + 2000
        during = int(ask(process, "rss"))
        assert not flush(process, 0.5)[0]
        postgres_server.start()
        delivered, took = flush(process, 120)
        assert delivered
        after = int(ask(process, "rss"))
        growth = max(during, after) - before
        print(f"{events} events: {growth / MEBIBYTE:.1f} MiB more memory; drained in {took:.1f} s")
        assert growth < 64 * MEBIBYTE
        process.communicate(timeout=30)
    rows = [row for row in postgres_machine.rows() if row.metric == "event"]
    assert [row.correlation_id for row in rows] == [f"{number:09}" for number in range(events + 2000)]
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
    promises.the_spool_is_empty(postgres_machine)
    promises.counters_equal_rows(postgres_machine)


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that takes every connection and never says a word."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


@pytest.mark.parametrize("timeout_s", [0.2, 1.0])
def test_a_store_that_never_answers_holds_up_nobody(postgres_machine: Machine, timeout_s: float) -> None:
    with silent_server() as port:
        url = database.normalise_url(postgres_machine.database_url).set(port=port)
        hanging = url.render_as_string(hide_password=False)
        with postgres_machine.started(
            "outage.py", DATABASE_URL=hanging, GOLIVE_SHUTDOWN_SECONDS="0.5"
        ) as process:
            assert int(ask(process, "emit 2000")) == 2000
            percentile, longest = map(float, ask(process, "latency 500").split())
            print(f"emit: {percentile:.2f} ms (99 %), {longest:.2f} ms at most")
            assert percentile < 20
            assert longest < 500
            delivered, took = flush(process, timeout_s)
            assert not delivered
            assert took < timeout_s + 0.5
            started = time.monotonic()
            process.communicate(timeout=30)
            assert process.returncode == 0
            assert time.monotonic() - started < 10
    # The spool is the store's, which is reached by another way: under its own address its events are others.
    waiting = [path for path in postgres_machine.spool.rglob("[0-9]*.log") if path.stat().st_size]
    assert sum(path.read_bytes().count(b"\n") for path in waiting) == 2501
