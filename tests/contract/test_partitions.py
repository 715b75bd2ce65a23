"""Partitions: made and dropped while events come in, each id once, and every evaluation finds what it found."""

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from golive import database, regression
from golive.cli import app
from golive.database import normalise_url
from golive.errors import ConfigurationError, GoliveError
from golive.events import KpiEvent
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import id_at
from golive.maintenance import growing, partitions
from golive.maintenance.maintaining import Maintained, maintain
from golive.models import KpiEventRow
from golive.names import CLOSING_CONSTRAINT
from golive.reader import Cursor, EventFilter
from golive.sql_reader import SqlReader

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
MONTHS = ("kpi_event_before_2026_12", "kpi_event_before_2027_01", "kpi_event_before_2027_02")


def event(number: int, at: dt.datetime, metric: str = "sent", emitter: int = 1) -> KpiEvent:
    ms = round(at.timestamp() * 1000)
    return KpiEvent(
        id=id_at(ms, number), emitter=emitter, domain="W", metric=metric, success=True, value=None,
        actor=None, correlation_id=str(number), detail='{"n":[1,null]}', trace_id=None, span_id=None,
        sampled=False, duration_ms=None, created_ns=ms * 1_000_000,
    )  # fmt: skip


def spread(n: int, days: int, metric: str = "sent") -> list[KpiEvent]:
    return [event(number, NOW - days * DAY * (n - number) / n, metric) for number in range(n)]


@pytest.fixture
def engine(postgres_store: str) -> Iterator[Engine]:
    made = create_engine(normalise_url(postgres_store))
    yield made
    made.dispose()


@pytest.fixture
def exporter(postgres_store: str) -> Iterator[SqlLogRecordExporter]:
    made = SqlLogRecordExporter(normalise_url(postgres_store))
    yield made
    made.shutdown()


def run(engine: Engine, **options: Any) -> Maintained:
    return maintain(engine.url, **{"now": NOW} | options)


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM kpi_event ORDER BY id")))


def names(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [partition.name for partition in partitions.layout(connection).partitions or ()]


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(
            connection.scalars(text("SELECT tablename FROM pg_tables WHERE tablename LIKE 'kpi_event%'"))
        )


@pytest.mark.parametrize("large", [False, True])
def test_a_table_becomes_partitioned_with_every_row(
    engine: Engine, exporter: SqlLogRecordExporter, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(growing, "LARGE_ROWS", 1_000)
    exporter.write(spread(3_000, 400))
    before = rows(engine)
    done = run(engine, partition=True)
    # A large one gets its end where no clock that is a little wrong is.
    made = MONTHS[1:] if large else MONTHS
    assert (done.partitioned, done.partitions_made) == (True, made)
    assert names(engine) == [*made, partitions.OPEN]
    assert rows(engine) == before
    assert run(engine, partition=True) == Maintained()
    assert not run(engine, now=NOW + 31 * DAY).partitioned
    assert names(engine)[-2:] == ["kpi_event_before_2027_03", partitions.OPEN]


def test_an_id_stays_unique_over_all_partitions(engine: Engine, exporter: SqlLogRecordExporter) -> None:
    old = [event(number, NOW - number * DAY) for number in range(500)]
    assert exporter.write(old) == 500
    run(engine, partition=True)
    new = [event(1_000 + number, NOW + number * DAY) for number in range(200)]
    adopted = [event(number, NOW)._replace(id=number) for number in range(1, 50)]
    assert exporter.write(new + adopted) == 249
    assert exporter.write(old + new + adopted) == 0
    others = [one._replace(emitter=2) for one in old + new]
    assert exporter.write(others) == 700
    assert exporter.write(others) == 0
    with engine.begin() as connection:
        assert exporter.insert(connection, [*others, event(5_000, NOW + 900 * DAY)])
    assert len(rows(engine)) == 500 + 249 + 700 + 1


def test_months_go_whole_and_what_is_older_than_months_goes_by_rows(
    engine: Engine, exporter: SqlLogRecordExporter
) -> None:
    exporter.write(spread(2_000, 400))
    done = run(engine, partition=True, retention_days=100)
    assert (done.partitions_dropped, done.events_deleted) == ((), 1_500)
    for month in range(1, 9):
        now = NOW + 30 * month * DAY
        run(engine, now=now, retention_days=100)
        exporter.write([event(10_000 * month + number, now) for number in range(100)])
    found = [row.correlation_id for row in rows(engine)]
    # On 2027-07-23 what is from before 2027-04-14 goes, but April is not over.
    assert found == [str(10_000 * month + number) for month in range(5, 9) for number in range(100)]
    assert names(engine)[:2] == [partitions.KEPT, "kpi_event_before_2027_05"]
    assert tables(engine) == {"kpi_event", *names(engine)}


def test_what_a_tripwire_reads_survives_its_month(engine: Engine, exporter: SqlLogRecordExporter) -> None:
    url = normalise_url(engine.url)
    regression.upsert_policy(url, domain="W", metric="seldom", enabled=True, actor="t", reason="t")
    run(engine, partition=True)
    exporter.write(spread(3_000, 20, "seldom") + [event(5_000 + n, NOW, "often") for n in range(100)])
    later = NOW + 300 * DAY
    before = regression.evaluate_policy(url, "W", "seldom", now=later).finding
    done = run(engine, retention_days=30, now=later)
    assert done.partitions_dropped[0] == MONTHS[0]
    assert done.events_kept == 3_000
    assert {row.metric for row in rows(engine)} == {"seldom"}
    assert regression.evaluate_policy(url, "W", "seldom", now=later).finding == before
    # What comes again, or late, finds its place, and is there once.
    assert exporter.write(spread(3_000, 20, "seldom")) == 0
    assert exporter.write([event(9_000, NOW - 10 * DAY, "often")]) == 1
    assert run(engine, retention_days=30, now=later + 40 * DAY).events_deleted == 1


def test_a_young_row_with_a_small_id_keeps_its_partition(
    engine: Engine, exporter: SqlLogRecordExporter
) -> None:
    exporter.write(spread(400, 400))
    run(engine, partition=True)
    later = NOW + 200 * DAY
    exporter.write([event(5_000, later)._replace(id=12), event(5_001, NOW)._replace(id=13)])
    done = run(engine, retention_days=30, now=later)
    assert (done.partitions_dropped, done.events_deleted) == ((), 401)
    assert [row.id for row in rows(engine)] == [12]
    done = run(engine, retention_days=30, now=later + 31 * DAY)
    assert (done.partitions_dropped[0], done.events_deleted) == (MONTHS[0], 0)
    assert rows(engine) == []


def test_a_dry_run_changes_nothing(engine: Engine, exporter: SqlLogRecordExporter) -> None:
    exporter.write(spread(100, 400))
    would = run(engine, partition=True, retention_days=100, dry_run=True)
    assert (would.partitioned, would.events_deleted, len(rows(engine))) == (True, 75, 100)
    assert tables(engine) == {"kpi_event"}
    run(engine, partition=True)
    before, later = names(engine), NOW + 300 * DAY
    would = run(engine, retention_days=100, now=later, dry_run=True)
    assert names(engine) == before
    assert run(engine, retention_days=100, now=later)[3:] == would[3:]


def test_months_nobody_made_become_one_partition(
    engine: Engine, exporter: SqlLogRecordExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "LARGE_ROWS", 1_000)
    run(engine, partition=True)
    exporter.write([event(number, NOW + (70 + number / 10) * DAY) for number in range(3_000)])
    before = rows(engine)
    # The open one holds ten months by now.
    done = run(engine, now=NOW + 375 * DAY)
    assert done.partitions_made == ("kpi_event_before_2028_02", "kpi_event_before_2028_03")
    assert rows(engine) == before


def test_events_of_the_future_move_on_to_where_they_belong(
    engine: Engine, exporter: SqlLogRecordExporter
) -> None:
    exporter.write([event(number, NOW + number * DAY) for number in range(500)])
    before = rows(engine)
    run(engine, partition=True)
    assert rows(engine) == before
    with engine.connect() as connection:
        held = connection.scalar(text(f"SELECT count(*) FROM {partitions.OPEN}"))
    assert held == 500 - 68


def test_too_many_events_of_the_future_are_named(
    engine: Engine, exporter: SqlLogRecordExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "LARGE_ROWS", 100)
    exporter.write([event(number, NOW + number * DAY) for number in range(500)])
    with pytest.raises(GoliveError, match="463 events have ids from 2027-01-01 on"):
        run(engine, partition=True)
    # As it is, it works.
    assert names(engine) == [partitions.OPEN]
    assert len(rows(engine)) == 500


def test_an_event_from_after_a_closing_partitions_end_waits(
    engine: Engine, exporter: SqlLogRecordExporter
) -> None:
    run(engine, partition=True)
    with engine.begin() as connection:
        check = f"ADD CONSTRAINT {CLOSING_CONSTRAINT} CHECK (id < {id_at(2 * 10**12, 0)}) NOT VALID"
        connection.execute(text(f"ALTER TABLE {partitions.OPEN} {check}"))
    far = event(1, NOW + 900 * DAY)
    exporter.write([far])
    beyond = far._replace(id=(1 << 63) - 1)
    rejected: list[str] = []
    exporter.on_rejected = rejected.append
    with pytest.raises(Exception, match=CLOSING_CONSTRAINT):
        exporter.write([beyond])
    # The next run clears what a killed one has left.
    run(engine)
    assert exporter.write([beyond]) == 1
    assert rejected == []


def test_two_at_once_do_not_meet(engine: Engine) -> None:
    with partitions.alone(engine) as first:
        assert first
        assert run(engine, partition=True).busy
    assert run(engine, partition=True).partitioned


def test_a_table_in_use_is_left_as_it_is(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_LOCK_TIMEOUTS_MS", [20, 20])
    monkeypatch.setattr(partitions, "_PAUSE_S", 0.01)
    with engine.begin() as connection:
        connection.execute(text("SELECT count(*) FROM kpi_event"))
        with pytest.raises(GoliveError, match="in use"):
            run(engine, partition=True)
    assert names(engine) == []
    assert run(engine, partition=True).partitioned


@pytest.mark.faults
def test_an_application_with_a_short_lock_timeout_loses_no_transaction_to_maintenance_that_waits(
    postgres_store: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "_PAUSE_S", 0.01)
    business = create_engine(normalise_url(postgres_store), connect_args={"options": "-c lock_timeout=500"})
    with ThreadPoolExecutor(1) as pool, engine.begin() as reading:
        reading.execute(text("SELECT count(*) FROM kpi_event"))
        maintained = pool.submit(run, engine, partition=True)
        inserted = 0
        while not maintained.done():
            with Session(business) as db:
                db.execute(insert(KpiEventRow).values(id=inserted, domain="W", metric="m", created_at=NOW))
                db.commit()
            inserted += 1
        with pytest.raises(GoliveError, match="in use"):
            maintained.result()
    business.dispose()
    assert len(rows(engine)) == inserted > 0


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW mine AS SELECT * FROM kpi_event", "the view mine reads it"),
        ("CREATE UNIQUE INDEX mine ON kpi_event (correlation_id, id)", "the unique index mine"),
        ("ALTER TABLE kpi_event ENABLE ROW LEVEL SECURITY", "row security"),
        ("CREATE TABLE mine (event bigint REFERENCES kpi_event)", "mine refers to it"),
        ("ALTER TABLE kpi_event DROP CONSTRAINT pk_kpi_event", "another primary key"),
    ],
)
def test_what_would_be_lost_is_named(engine: Engine, statement: str, named: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))
    with pytest.raises(GoliveError, match=named):
        run(engine, partition=True)
    assert names(engine) == []


def test_rights_columns_indexes_and_sequences_move_along(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS golive_writer",
            "CREATE ROLE golive_writer",
            "GRANT SELECT, INSERT ON kpi_event TO golive_writer WITH GRANT OPTION",
            "GRANT SELECT ON kpi_event TO PUBLIC",
            'ALTER TABLE kpi_event ADD COLUMN "mine%" integer DEFAULT 7 CHECK ("mine%" > 0)',
            "CREATE SEQUENCE mine OWNED BY kpi_event.id",
            "ALTER TABLE kpi_event ALTER COLUMN id SET DEFAULT nextval('mine')",
            "CREATE INDEX mine_index ON kpi_event (value) WHERE value > 5",
        ):
            connection.execute(text(statement))
    rights = "SELECT relacl::text FROM pg_class WHERE relname = 'kpi_event'"
    indexes = (
        "SELECT indexname, replace(indexdef, 'ON ONLY', 'ON') FROM pg_indexes WHERE tablename = 'kpi_event'"
    )
    with engine.connect() as connection:
        before = connection.scalar(text(rights))
        indexed = set(connection.execute(text(indexes)).all())
    run(engine, partition=True)
    run(engine, retention_days=30, now=NOW + 400 * DAY)
    with engine.begin() as connection:
        assert sorted(connection.scalar(text(rights))[1:-1].split(",")) == sorted(before[1:-1].split(","))
        assert set(connection.execute(text(indexes)).all()) == indexed
        connection.execute(text("SET ROLE golive_writer"))
        connection.execute(
            text("INSERT INTO kpi_event (id, domain, metric, created_at) VALUES (77, 'W', 'm', now())")
        )
        connection.execute(text("RESET ROLE"))
        connection.execute(
            text("INSERT INTO kpi_event (domain, metric, created_at) VALUES ('W', 'm', now())")
        )
        assert connection.execute(text('SELECT id, "mine%" FROM kpi_event ORDER BY id')).all() == [
            (1, 7),
            (77, 7),
        ]
        connection.execute(text("DROP OWNED BY golive_writer"))
        connection.execute(text("DROP ROLE golive_writer"))


def test_the_readers_read_an_index_range_of_each_partition(
    engine: Engine, exporter: SqlLogRecordExporter
) -> None:
    exporter.write(spread(10_000, 400))
    found = rows(engine)
    with engine.connect() as connection:
        pages = [SqlReader(connection).events(EventFilter(domain, metric), 50, Cursor(NOW - 100 * DAY, found[7_500].id))
                 for domain, metric in (("W", "sent"), (None, None))]  # fmt: skip
    for back in range(13, 0, -1):
        run(engine, partition=True, now=NOW - back * 30 * DAY)
    run(engine)
    assert len(names(engine)) > 3
    with engine.connect() as connection:
        assert pages == [SqlReader(connection).events(EventFilter(domain, metric), 50, Cursor(NOW - 100 * DAY, found[7_500].id))
                         for domain, metric in (("W", "sent"), (None, None))]  # fmt: skip
        assert len(SqlReader(connection).timeline("17")) == 1
        connection.execute(text("SET LOCAL enable_sort = off"))
        plan = "\n".join(
            connection.scalars(
                text(
                    "EXPLAIN SELECT id, created_at FROM kpi_event WHERE domain = 'W' AND metric = 'sent' "
                    "ORDER BY created_at DESC, id DESC LIMIT 1400"
                )
            )
        )
    assert "Merge Append" in plan
    assert "->  Sort" not in plan
    assert "Seq Scan" not in plan


def test_sqlite_says_that_it_has_no_partitions(sqlite_store: str) -> None:
    with pytest.raises(ConfigurationError, match="only PostgreSQL"):
        maintain(normalise_url(sqlite_store), partition=True)


def test_the_command_says_what_it_made(postgres_store: str, engine: Engine) -> None:
    arguments = ["db", "maintain", "--partition", "--database-url", postgres_store]
    said = CliRunner().invoke(app, arguments).stdout
    assert "kpi_event is now partitioned by months" in said
    assert said.count("made: kpi_event_before_") == 3
    assert "kept for ever" in CliRunner().invoke(app, arguments).stdout
    database.upgrade(engine.url, seed=True)
    assert len(names(engine)) == 4
