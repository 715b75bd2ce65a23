"""What partitions cost: `python -m bench.partitions [EVENTS]`, by default 1,000,000; some minutes.

A plain table and one of 24 months are written; then the plain one is exported, becomes partitioned, and is
cleared, while two threads insert an event each millisecond or so. What reading costs is in `bench.size`.
"""

import datetime as dt
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import URL, create_engine, text

from golive import database
from golive.events import KpiEvent
from golive.exporters.parquet import export
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import IdGenerator, id_at
from golive.maintenance.maintaining import maintain
from golive.reader import EventFilter
from tests.support.postgres import PostgresServer

DAYS = 720
NOW = dt.datetime.now(dt.UTC)


def events(count: int) -> Iterator[KpiEvent]:
    """Yield events of ten metrics, spread over two years."""
    begin = round((NOW - dt.timedelta(days=DAYS)).timestamp() * 1000)
    for number in range(count):
        ms = begin + number * DAYS * 86_400_000 // count
        yield KpiEvent(
            id=id_at(ms, number), emitter=1, domain="W", metric=f"m{number % 10}", success=number % 3 > 0,
            value=number / 3, actor="ops", correlation_id=f"deal_{number // 4}",
            detail=f'{{"channel":"web","n":{number}}}', trace_id=f"{number:032x}", span_id=f"{number:016x}",
            sampled=False, duration_ms=1.5, created_ns=ms * 1_000_000,
        )  # fmt: skip


def fill(url: URL, count: int) -> float:
    """Write the events; return how long that took, in seconds."""
    exporter, source = SqlLogRecordExporter(url), events(count)
    started = time.perf_counter()
    while batch := list(islice(source, 10_000)):
        exporter.write(batch)
    exporter.shutdown()
    return time.perf_counter() - started


class Writers:
    """Two threads that insert, one in transactions of an application; how long each insert took."""

    def __init__(self, url: URL) -> None:
        self.took_s: list[float] = []
        self._url, self._stop = url, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[joined]) for joined in (False, True)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def during(self, act: Callable[[], object]) -> str:
        """Return how long `act` took, and the longest insert meanwhile."""
        before, started = len(self.took_s), time.perf_counter()
        act()
        took = time.perf_counter() - started
        return f"{took:.2f} s, an insert at most {max(self.took_s[before:], default=0) * 1000:.0f} ms"

    def _run(self, joined: bool) -> None:
        exporter, generate = SqlLogRecordExporter(self._url), IdGenerator()
        engine, event = create_engine(self._url), next(events(1))
        while not self._stop.wait(0.001):
            fresh = event._replace(id=generate(), emitter=generate.emitter)
            started = time.perf_counter()
            if joined:
                with engine.begin() as connection:
                    exporter.insert(connection, [fresh])
            else:
                exporter.write([fresh])
            self.took_s.append(time.perf_counter() - started)
        exporter.shutdown()
        engine.dispose()


def main(count: int) -> None:
    """Print every figure."""
    server = PostgresServer()
    server.start()
    urls = []
    for name in ("plain", "months"):
        with create_engine(database.normalise_url(server.url())).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text(f"CREATE DATABASE {name}")
            )
        urls.append(database.normalise_url(server.url(name)))
        database.upgrade(urls[-1])
    plain, months = urls
    for back in range(21, -1, -1):
        maintain(months, partition=True, now=NOW - dt.timedelta(days=30.4 * back))
    print(f"COPY of {count:,}: plain {fill(plain, count):.1f} s, months {fill(months, count):.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        started, computed = time.perf_counter(), time.process_time()
        done = export(plain, Path(folder) / "events.parquet", EventFilter())
        took, computed = time.perf_counter() - started, time.process_time() - computed
        print(
            f"export: {done.events / took:,.0f} events/s, {done.events / computed:,.0f} a second of its CPU"
        )
    writers = Writers(plain)
    print("at rest:", writers.during(lambda: time.sleep(5)))
    print("plain to partitioned:", writers.during(lambda: maintain(plain, partition=True)), flush=True)
    print("deleted by rows:", writers.during(lambda: maintain(plain, retention_days=DAYS - 120)))
    later = NOW + dt.timedelta(days=900)
    print("dropped:", writers.during(lambda: maintain(plain, retention_days=DAYS, now=later)))
    writers.stop()
    server.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
