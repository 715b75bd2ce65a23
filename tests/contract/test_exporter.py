"""The SQL exporter: each event once, colliding ids lose nothing, usable with OpenTelemetry's own processors."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from golive import otel_logs, pipeline
from golive.account import Account
from golive.database import normalise_url, upgrade
from golive.events import KpiEvent
from golive.exporters._rows import PostgresRows, SqliteRows
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import IdGenerator
from golive.kpi import kpi_success
from golive.otel_logs import (
    BatchLogRecordProcessor,
    LogRecord,
    LogRecordExportResult,
    SdkLoggerProvider,
    SimpleLogRecordProcessor,
)
from golive.stores import StillOpen
from tests.contract.conftest import Golive

NOW = time.time_ns()


def event(
    event_id: int, emitter: int = 1, metric: str = "sent", created_ns: int = NOW, **more: Any
) -> KpiEvent:
    fields: dict[str, Any] = {
        "success": True, "value": None, "actor": None, "correlation_id": None, "detail": '{"a":[1,2.5,null,"x"]}',
        "trace_id": None, "span_id": None, "sampled": False, "duration_ms": 0.25,
    } | more  # fmt: skip
    return KpiEvent(id=event_id, emitter=emitter, domain="W", metric=metric, created_ns=created_ns, **fields)


@pytest.fixture
def exporter(store: Any) -> Iterator[SqlLogRecordExporter]:
    made = SqlLogRecordExporter(store)
    yield made
    made.shutdown()


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM kpi_event ORDER BY id")))


def test_a_batch_written_twice_is_there_once(exporter: SqlLogRecordExporter, business: Engine) -> None:
    generate = IdGenerator()
    batch = [event(generate(), generate.emitter, value=number / 3) for number in range(2_000)]
    assert exporter.write(batch) == 2_000
    assert exporter.write(batch) == 0
    assert exporter.write([*batch[:10], event(generate(), generate.emitter)]) == 1
    assert len(rows(business)) == 2_001


def test_ids_two_processes_share_lose_nothing(exporter: SqlLogRecordExporter, business: Engine) -> None:
    one = [event(number, emitter=1) for number in range(1, 1_001)]
    two = [event(number, emitter=2) for number in range(1, 1_001)]
    assert exporter.write(one) == 1_000
    assert exporter.write(two) == 1_000
    # A retry after the collision finds the rows where they went; so does the question which are there.
    assert exporter.write(two) == 0
    three = [event(number, emitter=3) for number in range(1, 1_001)]
    assert exporter.lacking([*one, three[0], *two, *three[1:]]) == three
    assert exporter.write(one + two) == 0
    found = rows(business)
    assert sorted(row.emitter for row in found) == [1] * 1_000 + [2] * 1_000


def test_ids_taken_by_others_lose_nothing_in_a_business_transaction(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    exporter.write([event(number, emitter=1) for number in range(1, 6)])
    with business.begin() as connection:
        assert exporter.insert(connection, [event(number, emitter=2) for number in range(1, 11)])
    assert sorted(row.emitter for row in rows(business)) == [1] * 5 + [2] * 10


def test_what_a_transaction_wrote_is_not_looked_for_before_it_is_decided(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    numbers: list[int] = []
    with business.begin() as connection:
        assert exporter.insert(connection, [event(1)], numbers.append)
        if business.dialect.name == "postgresql":
            with pytest.raises(StillOpen):
                exporter.find([1], [1000, *numbers])
    assert len(numbers) == (1 if business.dialect.name == "postgresql" else 0)
    # The last is one that the server never gave: those of another server, which it took over from.
    assert [found.id for found in exporter.find([1, 2], [*numbers, 1 << 40])] == [1]


def test_one_id_for_every_event_of_a_batch_loses_nothing(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    batch = [event(7, emitter=3, created_ns=NOW + number * 1000) for number in range(40)]
    assert exporter.write(batch) == 40
    assert exporter.write(batch) == 0
    assert len(rows(business)) == 40


def test_a_batch_that_cannot_be_written_leaves_no_half(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    exporter.write([event(100)])
    with business.begin() as connection:
        connection.execute(text("ALTER TABLE kpi_event RENAME TO elsewhere"))
    batch = [otel_logs.readable(otel_logs.to_record(event(number))) for number in range(1, 4)]
    assert exporter.export(batch) is LogRecordExportResult.FAILURE
    with business.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO kpi_event"))
    assert exporter.export(batch) is LogRecordExportResult.SUCCESS
    assert len(rows(business)) == 4


def test_what_is_written_is_what_was_given(exporter: SqlLogRecordExporter, business: Engine) -> None:
    given = event(
        (1 << 63) - 1, (1 << 63) - 1, success=None, value=0.1 + 0.2, actor="back\\slash", correlation_id="tab-less",
        detail=json.dumps("plain\tstring \\N é"), trace_id="0" * 31 + "1", span_id="f" * 16, created_ns=1_700_000_000_123_456_789,
    )  # fmt: skip
    exporter.write([given])
    with business.connect() as connection:
        statements = exporter._statements()
        (row,) = statements.select(connection, [given.id]).values()
    assert row.value == 0.1 + 0.2
    assert (row.actor, row.correlation_id, row.trace_id, row.span_id) == (
        "back\\slash",
        "tab-less",
        "0" * 31 + "1",
        "f" * 16,
    )
    assert json.loads(row.detail or "") == "plain\tstring \\N é"
    assert row.created_at == "2023-11-14 22:13:20.123456+00"
    assert row.success is None


@pytest.mark.parametrize("processor", [BatchLogRecordProcessor, SimpleLogRecordProcessor])
def test_it_works_with_opentelemetrys_own_processors(store: Any, business: Engine, processor: Any) -> None:
    provider = SdkLoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(processor(SqlLogRecordExporter(store)))
    logger = provider.get_logger("business")
    for number in range(1, 11):
        logger.emit(otel_logs.to_record(event(number)))
    logger.emit(LogRecord(timestamp=NOW, body="an ordinary log line"))
    logger.emit(LogRecord(timestamp=NOW, event_name="kpi.event", attributes={"golive.domain": "W"}))
    provider.shutdown()
    assert [row.id for row in rows(business)] == list(range(1, 11))


def test_many_threads_may_write_at_once(exporter: SqlLogRecordExporter, business: Engine) -> None:
    import threading

    def write(emitter: int) -> None:
        for start in range(1, 400, 100):
            exporter.write([event(number, emitter) for number in range(start, start + 100)])

    threads = [threading.Thread(target=write, args=(emitter,)) for emitter in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(business)) == 1_600


def test_an_event_the_database_refuses_holds_up_no_other(
    postgres_url: str, account: Account, tmp_path: Path
) -> None:
    """A database whose encoding lacks a character is what refuses an event that has passed every check."""
    latin = f"{postgres_url}_latin"
    server = create_engine(normalise_url(postgres_url), isolation_level="AUTOCOMMIT")
    name = normalise_url(latin).database
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
    upgrade(normalise_url(latin))
    engine = create_engine(normalise_url(latin))
    pipeline.configure(latin, spool_dir=tmp_path)
    kpi_success(None, "W", "before")
    kpi_success(None, "W", "refused", actor="漢字")
    kpi_success(None, "W", "after", actor="ünï")
    with Session(engine) as db:
        db.execute(text("CREATE TABLE deal (id INTEGER)"))
        kpi_success(db, "W", "in_transaction", actor="漢字")
        db.commit()
    assert pipeline.flush(20)
    assert sorted(row.metric for row in rows(engine)) == ["after", "before"]
    assert account.discarded == {"rejected": 2}
    aside = next(tmp_path.rglob("quarantine.log")).read_text().splitlines()
    assert [json.loads(line)["metric"] for line in aside] == ["refused", "in_transaction"]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM deal")) == 0
    pipeline.shutdown()
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def test_an_event_a_constraint_refuses_holds_up_no_other(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    refuse_poison(business)
    refused: list[str] = []
    exporter.on_rejected = refused.append
    assert exporter.write([event(1), event(2, metric="poison"), event(3)]) == 2
    assert [row.id for row in rows(business)] == [1, 3]
    assert [json.loads(row)["id"] for row in refused] == [2]


def test_an_event_refused_behind_one_that_is_there_already_holds_up_no_other(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    exporter.write([event(1)])
    refuse_poison(business)
    refused: list[str] = []
    exporter.on_rejected = refused.append
    # So many that PostgreSQL meets the first before it reads the last.
    batch = [*map(event, range(1, 3_000)), event(5_000, metric="poison"), event(5_001)]
    assert exporter.write(batch) == 2_999
    assert len(rows(business)) == 3_000
    assert [json.loads(row)["id"] for row in refused] == [5_000]


def test_an_event_an_operators_unique_index_refuses_holds_up_no_other(
    exporter: SqlLogRecordExporter, business: Engine
) -> None:
    with business.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX mine ON kpi_event (correlation_id)"))
        connection.execute(text("CREATE UNIQUE INDEX mine_too ON kpi_event (lower(actor))"))
    refused: list[str] = []
    exporter.on_rejected = refused.append
    assert exporter.write([event(1, correlation_id="deal", actor="ops")]) == 1
    batch = [
        event(2, correlation_id="deal"),
        event(3, actor="OPS"),
        event(4),
        event(1, emitter=2),  # an id that is taken is still another matter
    ]
    began = time.monotonic()
    assert exporter.write(batch) == 2
    assert time.monotonic() - began < 5
    assert sorted(row.emitter for row in rows(business)) == [1, 1, 2]
    assert [json.loads(row)["id"] for row in refused] == [2, 3]


def test_an_event_that_a_trigger_calls_a_duplicate_holds_up_no_other(
    postgres_store: str,
) -> None:
    engine, exporter = create_engine(normalise_url(postgres_store)), SqlLogRecordExporter(postgres_store)
    refused: list[str] = []
    exporter.on_rejected = refused.append
    on_insert(engine, "RAISE EXCEPTION 'poison' USING ERRCODE = 'unique_violation'")
    assert exporter.write([event(1), event(2, metric="poison"), event(3)]) == 2
    assert [json.loads(row)["id"] for row in refused] == [2]
    exporter.shutdown()
    engine.dispose()


def test_a_refused_event_is_reported_once_however_often_its_batch_is_tried(
    exporter: SqlLogRecordExporter, business: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_poison(business)
    refused: list[str] = []
    exporter.on_rejected = refused.append
    kind: Any = type(exporter._statements())
    insert_many = kind.insert_many

    def away_at_the_fourth(self: Any, connection: Any, given: Any) -> int:
        given = list(given)
        if [row.id for row in given] == [4]:
            raise RuntimeError("the store is away")
        inserted: int = insert_many(self, connection, given)
        return inserted

    batch = [
        otel_logs.readable(otel_logs.to_record(made))
        for made in (event(1), event(2, metric="poison"), event(3), event(4))
    ]
    with monkeypatch.context() as away:
        away.setattr(kind, "insert_many", away_at_the_fourth)
        for _ in range(3):
            assert exporter.export(batch) is LogRecordExportResult.FAILURE
    assert exporter.export(batch) is LogRecordExportResult.SUCCESS
    assert [row.id for row in rows(business)] == [1, 3, 4]
    assert [json.loads(row)["id"] for row in refused] == [2]


def test_a_trigger_that_drops_rows_costs_the_business_no_commit(golive: Golive) -> None:
    on_insert(golive.engine, "RETURN NULL" if golive.engine.dialect.name == "postgresql" else "RAISE(IGNORE)")
    with Session(golive.engine) as db:
        db.execute(text("INSERT INTO deal (id) VALUES (1)"))
        kpi_success(db, "W", "sent")
        kpi_success(db, "W", "poison")
        db.commit()
    assert golive.metrics() == ["sent"]
    with golive.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM deal")) == 1


def test_an_error_of_the_exporters_own_costs_the_business_no_commit(
    golive: Golive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a bug")

    for kind in (PostgresRows, SqliteRows):
        monkeypatch.setattr(kind, "insert_free", broken)
    with Session(golive.engine) as db:
        db.execute(text("INSERT INTO deal (id) VALUES (1)"))
        kpi_success(db, "W", "sent")
        db.commit()
    assert golive.metrics() == ["sent"]
    with golive.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM deal")) == 1


def on_insert(engine: Engine, act: str) -> None:
    """Have a trigger act before an event of the metric `poison` is inserted."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    f"IF NEW.metric = 'poison' THEN {act}; END IF; RETURN NEW; END $$"
                )
            )
            connection.execute(
                text("CREATE TRIGGER act BEFORE INSERT ON kpi_event FOR EACH ROW EXECUTE FUNCTION act()")
            )
        else:
            connection.execute(
                text(
                    "CREATE TRIGGER act BEFORE INSERT ON kpi_event WHEN NEW.metric = 'poison' "
                    f"BEGIN SELECT {act}; END"
                )
            )


def refuse_poison(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE kpi_event ADD CHECK (metric <> 'poison')"))
        else:
            connection.execute(
                text(
                    "CREATE TRIGGER no_poison BEFORE INSERT ON kpi_event WHEN NEW.metric = 'poison' "
                    "BEGIN SELECT RAISE(ABORT, 'poison'); END"
                )
            )


@pytest.mark.parametrize("number", [1e23, 1.2345678901234567e20, 1.7641e18, 5e-324, -0.0, 2**62 + 1])
def test_an_event_with_any_number_in_its_detail_is_known_again(
    exporter: SqlLogRecordExporter, business: Engine, number: float
) -> None:
    assert exporter.write([event(1, detail=json.dumps({"n": number}))]) == 1
    assert exporter.write([event(1, detail=json.dumps({"n": number}))]) == 0
    assert len(rows(business)) == 1
