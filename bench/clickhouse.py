"""What events in ClickHouse cost: writing them, and each way to read them as they grow.

    python -m bench.clickhouse        # needs chdb: make .venv/.clickhouse

The engine is the one in this process, so that no network is in the figures.
"""

import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from bench._rounds import compare
from bench.export import events
from sqlalchemy import URL

from golive import otel_logs
from golive.database import normalise_events_url
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect
from golive.exporters.clickhouse import ClickHouseLogRecordExporter, _columns
from golive.exporters.clickhouse_reader import open_reader
from golive.exporters.clickhouse_schema import COLUMNS
from golive.otel_logs import LogRecordExportResult
from golive.reader import EventFilter, EventReader

WRITTEN: Final = 50_000
BATCH: Final = 2_000
ROUNDS: Final = 5
SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
READS: Final = 25
LATEST: Final = 1_400
START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

# One event a second, in ten streams, twenty to a correlation id; every hundredth was written twice.
_FILL: Final = """
INSERT INTO kpi_event
       (id, fingerprint, emitter, domain, metric, success, correlation_id, trace_id, created_at)
SELECT number, sipHash64(number), 1, 'WHOLESALE', concat('metric_', toString(number % 10)), number % 7 != 0,
       concat('deal_', toString(intDiv(number, 20))), lower(hex(MD5(toString(number)))),
       fromUnixTimestamp64Micro({start:Int64} + number * 1000000, 'UTC')
FROM
(
    SELECT arrayJoin(if(number % 100 = 0, [number, number], [number])) AS number
    FROM numbers({events:UInt64})
)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        writing(made(folder, "written"))
        reading([(size, filled(folder, size)) for size in SIZES])


def made(folder: str, name: str) -> URL:
    url = normalise_events_url(f"clickhousedb:///{name}?interface=chdb&path={quote(folder)}")
    clickhouse_schema.upgrade(url)
    return url


def writing(url: URL) -> None:
    exporter = ClickHouseLogRecordExporter(url)
    client = connect(url, 60.0, {})
    given = events(WRITTEN)
    batches = [given[start : start + BATCH] for start in range(0, WRITTEN, BATCH)]
    records = [[otel_logs.readable(otel_logs.to_record(each)) for each in batch] for batch in batches]
    columns = [_columns(batch) for batch in batches]

    def golive() -> None:
        for batch in records:
            assert exporter.export(batch) is LogRecordExportResult.SUCCESS

    def bare() -> None:
        for batch in columns:
            client.insert(
                "kpi_event",
                batch,
                column_names=list(COLUMNS),
                column_type_names=list(COLUMNS.values()),
                column_oriented=True,
            )

    def emptied(write: Callable[[], None]) -> float:
        for table in ("kpi_event", "kpi_event_by_correlation"):
            client.command(f"TRUNCATE TABLE {table}")
        started = time.perf_counter()
        write()
        return time.perf_counter() - started

    found = compare(lambda: emptied(golive), lambda: emptied(bare), ROUNDS)
    print(f"exporter, {BATCH:,} records a batch: {WRITTEN / found.ours:,.0f} events/s")
    print(f"the driver alone, finished columns: {WRITTEN / found.theirs:,.0f} events/s")
    print(f"ratio: {1 / found.ratio:.2f}")
    exporter.shutdown()
    client.close()


def filled(folder: str, size: int) -> URL:
    url = made(folder, f"events_{size}")
    client = connect(url, 600.0, {})
    client.command(_FILL, {"start": round(START.timestamp()) * 1_000_000, "events": size})
    client.close()
    return url


def reading(stores: list[tuple[int, URL]]) -> None:
    ways: dict[str, Callable[[EventReader, int], Any]] = {
        f"the latest {LATEST:,} of a stream": lambda reader, _: reader.newest(
            "WHOLESALE", "metric_3", LATEST
        ),
        "the timeline of a correlation id": lambda reader, size: reader.timeline(f"deal_{size // 40}"),
        "the summary of the last day": lambda reader, size: reader.summary(last_day(size)),
        "the series of the last day, 48 steps": lambda reader, size: reader.series(
            last_day(size), START + dt.timedelta(seconds=size), 48
        ),
        "the latest 100 of all streams": lambda reader, _: reader.events(EventFilter(), 100),
        "the latest 100 failures": lambda reader, _: reader.events(EventFilter(success=False), 100),
    }
    print("| ms, median | " + " | ".join(f"{size:,} events" for size, _ in stores) + " |")
    print("| --- |" + " ---: |" * len(stores))
    for name, read in ways.items():
        took: dict[int, list[float]] = {size: [] for size, _ in stores}
        for _ in range(READS):
            for size, url in stores:
                with open_reader(url, 60.0) as reader:
                    started = time.perf_counter()
                    assert read(reader, size)
                    took[size].append(time.perf_counter() - started)
        print(
            f"| {name} | " + " | ".join(f"{statistics.median(took[s]) * 1000:.1f}" for s, _ in stores) + " |"
        )
        sys.stdout.flush()


def last_day(size: int) -> dt.datetime:
    return START + dt.timedelta(seconds=max(size - 86_400, 0))


if __name__ == "__main__":
    main()
