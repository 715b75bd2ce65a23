"""How fast the PostgreSQL exporter writes, against bare `COPY` and against one ORM commit an event."""

import datetime as dt
import json
import time
from collections.abc import Callable

from bench._rounds import Comparison, compare
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from golive import database, otel_logs
from golive.events import KpiEvent
from golive.exporters._rows import Row, row_of
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import IdGenerator
from golive.models import KpiEventRow
from golive.otel_logs import LogRecordExportResult
from tests.support.postgres import PostgresServer

BATCH = 5_000
BATCHES = 4
ROUNDS = 7
ORM_EVENTS = 300

_COPY = f"COPY kpi_event ({', '.join(Row._fields)}) FROM STDIN"


def events(number: int) -> list[KpiEvent]:
    """Return events as a service would make them."""
    generate = IdGenerator()
    return [
        KpiEvent(
            generate(), generate.emitter, "WHOLESALE", f"metric_{n % 20}", n % 3 > 0, None, "broker",
            f"deal_{n // 5}", '{"reason":"low_motivation","score":0.32}', f"{n + 1:032x}", f"{n + 1:016x}",
            True, 12.5, time.time_ns(),
        )
        for n in range(number)
    ]  # fmt: skip


def by_exporter(engine: Engine, exporter: SqlLogRecordExporter) -> Callable[[], float]:
    def run() -> float:
        batches = [
            [otel_logs.readable(otel_logs.to_record(e)) for e in events(BATCH)] for _ in range(BATCHES)
        ]
        _empty(engine)
        started = time.perf_counter()
        for batch in batches:
            assert exporter.export(batch) is LogRecordExportResult.SUCCESS
        return (time.perf_counter() - started) / (BATCH * BATCHES)

    return run


def by_copy(engine: Engine) -> Callable[[], float]:
    def run() -> float:
        batches = [[row_of(event) for event in events(BATCH)] for _ in range(BATCHES)]
        _empty(engine)
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            started = time.perf_counter()
            for batch in batches:
                with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
                    for row in batch:
                        copy.write_row(row)
                raw.commit()
            return (time.perf_counter() - started) / (BATCH * BATCHES)

    return run


def by_orm(engine: Engine) -> Callable[[], float]:
    def run() -> float:
        rows = [_orm_row(event) for event in events(ORM_EVENTS)]
        _empty(engine)
        with Session(engine) as session:
            started = time.perf_counter()
            for row in rows:
                session.add(row)
                session.commit()
            return (time.perf_counter() - started) / ORM_EVENTS

    return run


def _orm_row(event: KpiEvent) -> KpiEventRow:
    created_at = dt.datetime.fromtimestamp(event.created_ns / 1e9, dt.UTC)
    detail = json.loads(event.detail or "null")
    return KpiEventRow(**{**row_of(event)._asdict(), "detail": detail, "created_at": created_at})


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE kpi_event"))


def _line(result: Comparison, other: str, target: str) -> str:
    return (
        f"| PostgreSQL exporter | {1 / result.ours:,.0f} events/s "
        f"| {other} | {1 / result.theirs:,.0f} events/s "
        f"| {1 / result.ratio:,.2f} | {target} |"
    )


def main(server: PostgresServer) -> list[str]:
    url = database.normalise_url(server.url())
    database.upgrade(url)
    engine = create_engine(url)
    exporter = SqlLogRecordExporter(url)
    ours = by_exporter(engine, exporter)
    lines = [
        _line(
            compare(ours, by_copy(engine), ROUNDS), "bare psycopg `COPY`, same rows and table", "at least 0.8"
        ),
        _line(compare(ours, by_orm(engine), 3), "one ORM `add` + `commit` an event", "at least 100"),
    ]
    exporter.shutdown()
    engine.dispose()
    return lines
