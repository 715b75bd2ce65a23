"""The service under load: `golive serve` with 1, 2 and 4 workers on PostgreSQL, clients apart."""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString, NamedTuple
from urllib.parse import urlsplit

import psutil
import psycopg
from bench.load.bodies import KPI, Case, requests
from bench.load.client import Sent, send
from bench.load.figures import Latency, megabytes, table, time_of

from golive import tokens
from tests.support.otlp import LOGS
from tests.support.postgres import PostgresServer
from tests.support.service import golive_serve, upgraded

WORKERS = (1, 2, 4)
CASES = (
    Case("`regression/kpi`, 1", KPI, 1),
    Case("`regression/kpi`, 100", KPI, 100),
    Case("`regression/kpi`, 500", KPI, 500),
    Case("`/v1/logs`, 500, protobuf", LOGS, 500),
    Case("`/v1/logs`, 500, protobuf, gzip", LOGS, 500, zipped=True),
)
CONNECTIONS = 8
MANY = 256
SECONDS = 2.5
ROUNDS = 2
FASTEST = 40_000
"""Events a second of OTLP that bodies are made for; the run ends early where they are used up."""
_ARRIVE_S = 60.0
# All but those that count rows and connections.
_CONNECTIONS: LiteralString = """
SELECT count(*) - 2 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


class Run(NamedTuple):
    """One case on one service.

    Attributes:
        sent: What the clients sent.
        rows: How many events of it are in the table.
        arrived_s: How long that took, from the first request.
        memory: The most that all of its processes had, in bytes.
        connections: The most that it had to PostgreSQL.
    """

    sent: Sent
    rows: int
    arrived_s: float
    memory: int
    connections: int


class Service:
    """A running service, and the database it writes to.

    Args:
        port: Where it listens.
        process: The first of its processes.
        url: The database.
        secret: A token that may ingest.
    """

    def __init__(self, port: int, process: psutil.Process, url: str, secret: str) -> None:
        self._port, self._process, self._url, self._secret = port, process, url, secret

    def run(self, case: Case, connections: int, seconds: float, fresh: bool = True) -> Run:
        """Send as much as goes in that time, and wait for the rows; `fresh`: into an empty table."""
        count = round(seconds * FASTEST / case.batch) if case.path == LOGS else 1
        made = requests(case, self._secret, count)
        with psycopg.connect(self._url, autocommit=True) as connection, self._watched() as seen:
            if fresh:
                connection.execute("TRUNCATE kpi_event")
            before = _rows(connection)
            sent = send(self._port, made, connections, seconds)
            expected, deadline = sent.taken * case.batch, time.monotonic() + _ARRIVE_S
            while (rows := _rows(connection) - before) < expected and time.monotonic() < deadline:
                time.sleep(0.05)
            arrived_s = time.monotonic() - sent.began
        return Run(sent, rows, arrived_s, *map(max, zip(*seen, strict=True)))

    @contextmanager
    def _watched(self) -> Iterator[list[tuple[int, int]]]:
        """Give the memory of all its processes in bytes, and its connections, as often as one looked."""
        seen: list[tuple[int, int]] = []
        stop = threading.Event()

        def watch() -> None:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not stop.wait(0.2):
                    seen.append((self._memory(), _count(connection, _CONNECTIONS)))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()

    def _memory(self) -> int:
        total = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total


@contextmanager
def served(url: str, workers: int) -> Iterator[Service]:
    """Serve on a database with golive's tables."""
    secret = tokens.create(url, name=f"load-{time.time_ns()}", scopes=("ingest",), actor="bench")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "DATABASE_URL": url,
            "GOLIVE_SPOOL_DIR": f"{folder}/spool",
            "GOLIVE_REQUESTS_PER_MINUTE": "10000000",
        }
        with golive_serve(Path(folder), environment, "--workers", str(workers)) as (address, process, _):
            port = urlsplit(address).port
            assert port is not None
            yield Service(port, psutil.Process(process.pid), url, secret)


def main(server: PostgresServer, tell: Callable[[str], None], rounds: int = ROUNDS) -> None:
    """Tell what each number of workers takes, and what happens with far too many clients."""
    url = upgraded(server.url())
    found: dict[tuple[int, Case, int], list[Run]] = {}
    for _ in range(rounds):
        for workers in WORKERS:
            with served(url, workers) as service:
                service.run(CASES[1], CONNECTIONS, 0.5)  # the first requests of a process are no measure
                for case in CASES:
                    run = service.run(case, CONNECTIONS, SECONDS)
                    found.setdefault((workers, case, CONNECTIONS), []).append(run)
                for case in (CASES[1], CASES[4]):
                    run = service.run(case, MANY, SECONDS)
                    found.setdefault((workers, case, MANY), []).append(run)
    head = [
        "request, events", "workers", "accepted/s", "in the table/s", "p50", "p95", "p99", "longest",
        "errors", "refused", "missing rows", "memory", "connections", "client's CPU",
    ]  # fmt: skip
    for connections in (CONNECTIONS, MANY):
        tell(f"{connections} connections, {SECONDS:g} s each, {rounds} rounds:\n")
        cells = {
            (workers, case): runs for (workers, case, many), runs in found.items() if many == connections
        }
        rows = [
            _row(case, workers, cells[workers, case])
            for case in CASES
            for workers in WORKERS
            if (workers, case) in cells
        ]
        tell(table(head, rows) + "\n")


def _row(case: Case, workers: int, runs: list[Run]) -> list[str]:
    latency = Latency.median([run.sent.latency for run in runs])
    return [
        case.title,
        str(workers),
        f"{statistics.median(run.sent.taken * case.batch / run.sent.took_s for run in runs):,.0f}",
        f"{statistics.median(run.rows / run.arrived_s for run in runs):,.0f}",
        *map(time_of, (latency.p50, latency.p95, latency.p99, latency.longest)),
        str(sum(run.sent.failed for run in runs)),
        str(sum(run.sent.refused for run in runs)),
        str(sum(run.sent.taken * case.batch - run.rows for run in runs)),
        megabytes(max(run.memory for run in runs)),
        str(max(run.connections for run in runs)),
        f"{statistics.median(run.sent.cpu for run in runs):.0%}",
    ]


def _rows(connection: psycopg.Connection[Any]) -> int:
    return _count(connection, "SELECT count(*) FROM kpi_event WHERE domain = 'WHOLESALE'")


def _count(connection: psycopg.Connection[Any], query: LiteralString) -> int:
    found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])
