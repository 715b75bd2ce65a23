"""What it costs to write events to ClickHouse; what reading them costs is in `bench.size`.

    python -m bench.clickhouse        # needs chdb: make .venv/.clickhouse

The engine is the one in this process, so that no network is in the figures.
"""

import tempfile
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from bench._rounds import compare
from bench.export import events
from sqlalchemy import URL

from golive import otel_logs
from golive.database import normalise_events_url
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect
from golive.exporters.clickhouse import ClickHouseLogRecordExporter, _columns
from golive.exporters.clickhouse_schema import COLUMNS
from golive.otel_logs import LogRecordExportResult

WRITTEN: Final = 50_000
BATCH: Final = 2_000
ROUNDS: Final = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        writing(made(folder, "written"))


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


if __name__ == "__main__":
    main()
