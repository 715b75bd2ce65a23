"""Stores of as many events as asked for, of one shape: one a second in ten streams, four to a correlation id.

Of the ten, nine succeed or fail and one carries values. The events end at one moment, by their ids as well,
so that the last day holds the same ones whatever the size.
"""

import datetime as dt
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import psycopg

from golive import database
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect
from golive.maintenance.maintaining import maintain
from tests.support.postgres import PostgresServer

END: Final = dt.datetime.now(dt.UTC).replace(microsecond=0)
DOMAIN, STREAM = "WHOLESALE", "metric_3"

_END_S: Final = round(END.timestamp())
_A_MONTH: Final = dt.timedelta(days=28)
_COLUMNS: Final = (
    "id, emitter, domain, metric, success, value, actor, correlation_id, detail, trace_id, created_at"
)

_POSTGRESQL: Final = f"""
INSERT INTO kpi_event ({_COLUMNS})
SELECT (at * 1000 << 20) | (at & 1048575), 1, '{DOMAIN}', 'metric_' || (at %% 10),
       CASE WHEN at %% 10 < 9 THEN at %% 7 > 0 END, CASE WHEN at %% 10 = 9 THEN at %% 100 END, 'broker',
       'deal_' || (at / 4), '{{"channel": "web"}}', md5(at::text), to_timestamp(at)
FROM generate_series({_END_S} - %s::bigint, {_END_S}::bigint - 1) AS at
"""
_SQLITE: Final = f"""
WITH RECURSIVE seconds (at) AS
    (SELECT {_END_S} - ? UNION ALL SELECT at + 1 FROM seconds WHERE at < {_END_S} - 1)
INSERT INTO kpi_event ({_COLUMNS})
SELECT (at * 1000 << 20) | (at & 1048575), 1, '{DOMAIN}', 'metric_' || (at % 10),
       CASE WHEN at % 10 < 9 THEN at % 7 > 0 END, CASE WHEN at % 10 = 9 THEN at % 100 END, 'broker',
       'deal_' || (at / 4), '{{"channel": "web"}}', printf('%032x', at),
       strftime('%Y-%m-%d %H:%M:%S', at, 'unixepoch') || '.000000'
FROM seconds
"""
_CLICKHOUSE: Final = f"""
INSERT INTO kpi_event (fingerprint, {_COLUMNS})
SELECT sipHash64(at), bitShiftLeft(at * 1000, 20) + at % 1048576, 1, '{DOMAIN}',
       concat('metric_', toString(at % 10)), if(at % 10 < 9, at % 7 > 0, NULL),
       if(at % 10 = 9, at % 100, NULL), 'broker', concat('deal_', toString(intDiv(at, 4))),
       '{{"channel": "web"}}', lower(hex(MD5(toString(at)))), toDateTime64(at, 6, 'UTC')
FROM (SELECT number::Int64 AS at FROM numbers({{first:UInt64}}, {{events:UInt64}}, {{step:UInt64}}))
"""
_AN_HOUR_S, _A_DAY_S = 3_600, 86_400


class Filled(NamedTuple):
    """A store, and what is in it.

    Attributes:
        url: The database of the levers.
        events_url: The store of the events, where it is apart.
        events: How many there are.
    """

    url: str
    events_url: str | None
    events: int

    def correlation_id(self, number: int) -> str:
        """Return the id of one of its deals, whatever the number."""
        deals = self.events // 4 - 1
        return f"deal_{(_END_S - self.events) // 4 + 1 + number % deals}"


def postgresql(server: PostgresServer, name: str, events: int, *, partitions: bool = False) -> Filled:
    """Fill a new database, as autovacuum leaves it behind; with a partition a month if asked for."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = server.url(name)
    database.upgrade(database.normalise_url(url))
    month = END - dt.timedelta(seconds=events)
    while partitions and month < END + _A_MONTH:
        maintain(database.normalise_url(url), partition=True, now=min(month, END))
        month += _A_MONTH
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_POSTGRESQL.encode(), [events])
        connection.execute("VACUUM (ANALYZE) kpi_event")
        connection.execute("CHECKPOINT")
    return Filled(url, None, events)


def sqlite(folder: Path, name: str, events: int) -> Filled:
    """Fill a new file."""
    url = f"sqlite:///{folder / name}"
    database.upgrade(database.normalise_url(url))
    with sqlite3.connect(folder / name) as connection:
        connection.execute(_SQLITE, [events])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Filled(url, None, events)


def clickhouse(folder: Path, name: str, events: int) -> Filled:
    """Fill a new database of the engine in this process, beside an SQLite file with the levers.

    All but the last hour is merged, to a part a month; that hour, and every hundredth event of the last day a
    second time, is not.
    """
    url = f"sqlite:///{folder / name}.db"
    database.upgrade(database.normalise_url(url))
    events_url = f"clickhousedb:///{name}?interface=chdb&path={quote(str(folder / 'events'))}"
    store = database.normalise_events_url(events_url)
    clickhouse_schema.upgrade(store)
    client = connect(store, 600.0, {})

    def insert(first: int, number: int, step: int = 1) -> None:
        client.command(_CLICKHOUSE, {"first": first, "events": number, "step": step})

    insert(_END_S - events, events - _AN_HOUR_S)
    for table in ("kpi_event", "kpi_event_by_correlation"):
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    insert(_END_S - _AN_HOUR_S, _AN_HOUR_S)
    insert(_END_S - _A_DAY_S, _A_DAY_S, 100)
    client.close()
    return Filled(url, events_url, events)
