"""How fast events come in as the store grows, from 10,000 rows to 10,000,000, on PostgreSQL.

One database a size, all of them in turn; the smaller ones are filled anew before each turn, so that what is
measured does not make them large.
"""

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack

import psycopg
from bench._rounds import per_call
from bench.load.bodies import KPI, Case
from bench.load.figures import table
from bench.load.service import Service, served

from golive import otel_logs, pipeline
from golive.database import normalise_url
from golive.events import KpiEvent
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import IdGenerator
from golive.kpi import kpi_success
from golive.otel_logs import LogRecordExportResult
from tests.support.otlp import LOGS
from tests.support.postgres import PostgresServer
from tests.support.service import upgraded

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
ROUNDS = 5
CALLS = 10_000
BATCH, BATCHES = 2_000, 10
SECONDS = 1.5
CONNECTIONS = 4
CASES = (Case("`regression/kpi`, 500", KPI, 500), Case("`/v1/logs`, 500, gzip", LOGS, 500, zipped=True))
_LARGE = 1_000_000
"""From this size on what is measured is some hundredths of what is there."""
_GAP = dt.timedelta(seconds=0.2)

# Ids as golive makes them: milliseconds, and 20 bits more.
_FILL = """
INSERT INTO kpi_event
    (id, emitter, domain, metric, success, actor, correlation_id, detail, trace_id, span_id, created_at)
SELECT ((extract(epoch FROM happened) * 1000)::bigint << 20) | n %% 1048576, 1, 'W', 'm' || n %% 40,
       n %% 3 > 0, 'broker', 'deal_' || n / 4, '{"score": 0.32}', md5(n::text), left(md5(n::text), 16),
       happened
FROM generate_series(1, %(rows)s::bigint) AS n, LATERAL (SELECT now() - (%(rows)s - n) * %(gap)s AS happened)
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'kpi_event' AND indexname <> 'pk_kpi_event'
"""


def main(server: PostgresServer, tell: Callable[[str], None], sizes: list[int], rounds: int = ROUNDS) -> None:
    """Tell how each figure grows."""
    urls = {}
    for size in sizes:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE rows_{size}".encode())
        urls[size] = upgraded(server.url(f"rows_{size}"))
        fill(urls[size], size)
    found: dict[str, dict[int, list[float]]] = {}
    with ExitStack() as stack:
        services = {size: stack.enter_context(served(url, 1)) for size, url in urls.items()}
        for number in range(rounds + 1):
            for size in sizes if number % 2 else reversed(sizes):
                if size < _LARGE:
                    fill(urls[size], size)
                for name, figure in turn(urls[size], services[size]).items():
                    if number:  # the first turn of each is not counted
                        found.setdefault(name, {}).setdefault(size, []).append(figure)
    rows = []
    for name, by_size in found.items():
        cells = []
        for size in sizes:
            ratios = [a / b for a, b in zip(by_size[size], by_size[sizes[0]], strict=True)]
            cells.append(f"{statistics.median(by_size[size]):,.0f} ({statistics.median(ratios):.2f})")
        rows.append([name, *cells])
    tell(f"Events a second, and beside them the ratio to {sizes[0]:,} rows; {rounds} rounds:\n")
    tell(table(["", *(f"{size:,} rows" for size in sizes)], rows))


def turn(url: str, service: Service) -> dict[str, float]:
    """Return the figures of one store, in events a second."""
    found = {"helpers: calls": emitted(url), "exporter, batches of 2,000": exported(url)}
    for case in CASES:
        run = service.run(case, CONNECTIONS, SECONDS, fresh=False)
        assert run.sent.failed == 0, run.sent
        assert run.rows == run.sent.taken * case.batch
        found[f"{case.title}: accepted"] = run.rows / run.sent.took_s
        found[f"{case.title}: in the table"] = run.rows / run.arrived_s
    return found


def emitted(url: str) -> float:
    """Return how many events a second a helper takes, while the drain delivers them."""

    def call() -> None:
        kpi_success(None, "WHOLESALE", "offer_sent", actor="broker", correlation_id="deal_123")

    with tempfile.TemporaryDirectory() as folder:
        pipeline.configure(url, spool_dir=folder)
        per_call(call, 200)
        took = per_call(call, CALLS)
        assert pipeline.flush(60)
        pipeline.shutdown()
    return 1 / took


def exported(url: str) -> float:
    """Return how many log records a second the exporter writes."""
    next_id, began = IdGenerator(), time.time_ns()
    exporter = SqlLogRecordExporter(normalise_url(url))
    batches = [
        [
            otel_logs.readable(otel_logs.to_record(_event(next_id, began, number)))
            for number in range(first, first + BATCH)
        ]
        for first in range(0, BATCH * BATCHES, BATCH)
    ]
    assert exporter.export(batches.pop()) is LogRecordExportResult.SUCCESS  # connects
    started = time.perf_counter()
    for batch in batches:
        assert exporter.export(batch) is LogRecordExportResult.SUCCESS
    took = time.perf_counter() - started
    exporter.shutdown()
    return BATCH * len(batches) / took


def fill(url: str, rows: int) -> None:
    """Let the table have that many rows, and its indexes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE kpi_event")
        indexes = connection.execute(_INDEXES).fetchall()
        # Made anew afterwards: that takes a third of the time.
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        connection.execute(_FILL, {"rows": rows, "gap": _GAP})
        connection.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE kpi_event")
        connection.execute("CHECKPOINT")


def _event(next_id: IdGenerator, began_ns: int, number: int) -> KpiEvent:
    return KpiEvent(
        id=next_id(), emitter=next_id.emitter, domain="WHOLESALE", metric="offer_sent", success=True,
        value=None, actor="broker", correlation_id=f"deal_{number // 4}", detail='{"score":0.32}',
        trace_id=f"{number:032x}", span_id=f"{number:016x}", sampled=True, duration_ms=None,
        created_ns=began_ns + number,
    )  # fmt: skip
