"""What happened in a range of time costs what the range has, however much was before it."""

import datetime as dt
import functools
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from golive import database, governance
from golive.sql_reader import SqlReader

END = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
RANGE = 3_000
LATELY = END - dt.timedelta(seconds=RANGE)
PAGE = 8192
BRIN_PAGES = 128

SERIES = {
    "postgresql": "SELECT n, to_timestamp(:end - n) FROM generate_series(:events, 1, -1) AS n",
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT :events UNION ALL SELECT n - 1 FROM s WHERE n > 1) "
    "SELECT n, strftime('%Y-%m-%d %H:%M:%S', :end - n, 'unixepoch') || '.000000' FROM s",
}


def filled(url: str, events: int) -> str:
    """Write one event a second in ten streams, until the end."""
    database.upgrade(database.normalise_url(url))
    with governance.engine_for(url).begin() as connection:
        connection.execute(
            text(
                f"WITH series (n, at) AS ({SERIES[connection.dialect.name]}) "
                "INSERT INTO kpi_event (id, domain, metric, success, actor, created_at) "
                "SELECT :events - n, 'W', 'metric_' || (n % 10), true, 'somebody with quite a long name', at "
                "FROM series ORDER BY at"
            ),
            {"events": events, "end": END.timestamp()},
        )
    return url


def read(connection: Connection) -> None:
    """Read the range in both ways."""
    reader = SqlReader(connection)
    assert sum(metric.events for metric in reader.summary(LATELY)) == RANGE
    assert sum(each.events for each in reader.series(LATELY, END, 48)) == RANGE


def test_postgresql_reads_the_pages_of_the_range_once_each(postgres_url: str) -> None:
    engine = governance.engine_for(filled(postgres_url, 100_000))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE) kpi_event")
    with engine.connect() as connection:
        # What other processes read for this one is not in its account.
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
        count = text("SELECT pg_stat_get_xact_blocks_fetched('kpi_event'::regclass)")
        before = connection.scalar(count)
        read(connection)
        fetched = connection.scalar(count) - before
        pages = connection.scalar(text("SELECT pg_relation_size('kpi_event')")) // PAGE
        kept = [connection.scalar(text(f"SHOW {name}")) for name in ("enable_indexscan", "random_page_cost")]
    assert fetched <= 2 * (pages * RANGE / 100_000 + 2 * BRIN_PAGES)
    assert kept == ["on", "4"]


def test_sqlite_takes_as_many_steps_however_much_was_before(tmp_path: Path) -> None:
    steps = []
    for events in (4_000, 40_000):
        url = filled(f"sqlite:///{tmp_path / str(events)}.db", events)
        taken: list[int] = []
        with governance.engine_for(url).connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.set_progress_handler(functools.partial(taken.append, 1), 100)
            read(connection)
            driver.set_progress_handler(None, 0)
        steps.append(len(taken))
    assert steps[1] == pytest.approx(steps[0], rel=0.02)
