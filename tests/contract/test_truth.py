"""E1: rows are exactly what became true, and failures are always there."""

import asyncio
import gc
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from golive import pipeline
from golive.account import Account
from golive.database import normalise_url, upgrade
from golive.kpi import emit_kpi, kpi_fail, kpi_success, kpi_timed_step, kpi_value
from tests.contract.conftest import Golive
from tests.support.deals import Base, Deal, deals


def deal(number: int) -> Deal:
    return Deal(id=number, name=f"deal_{number}")


def test_a_commit_makes_events_true(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        kpi_value(db, "W", "profit", 500)
        db.commit()
    assert golive.metrics() == ["profit", "sent"]


def test_rows_and_business_data_become_visible_in_one_commit(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        db.commit()
        # No flush of the pipeline: the row came with the transaction.
        assert db.scalar(text("SELECT count(*) FROM kpi_event")) == 1


def test_nothing_is_counted_before_the_commit(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        assert not pipeline.account().events
        db.commit()
    assert pipeline.account().events["W", "sent", "success"] == 1


def test_a_rollback_discards_successes_and_values_and_keeps_failures(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        kpi_value(db, "W", "profit", 1)
        kpi_fail(db, "W", "rejected")
        db.rollback()
    assert golive.metrics() == ["rejected"]
    assert pipeline.account().discarded == {"rollback": 2}


def test_a_savepoint_rolled_back_inside_a_commit_takes_only_its_own_events(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        kpi_success(db, "W", "outer")
        with db.begin_nested():
            kpi_success(db, "W", "released")
            inner = db.begin_nested()
            kpi_success(db, "W", "undone")
            inner.rollback()
        undone = db.begin_nested()
        with db.begin_nested():
            kpi_success(db, "W", "undone_by_the_outer_one")
        undone.rollback()
        db.commit()
    assert golive.metrics() == ["outer", "released"]
    assert pipeline.account().discarded == {"rollback": 2}


def test_a_savepoint_released_inside_a_rollback_is_discarded(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        with db.begin_nested():
            kpi_success(db, "W", "released")
        db.rollback()
    assert golive.metrics() == []


def test_a_close_without_commit_after_writing_discards(
    golive: Golive, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        with Session(golive.engine) as db:
            db.add(deal(number))
            db.flush()
            kpi_success(db, "W", "sent")
    assert golive.metrics() == []
    assert deals(golive.engine) == 0
    assert pipeline.account().discarded == {"uncommitted": 2}
    assert caplog.text.count("without commit or rollback") == 1  # once a process


def test_a_close_after_a_write_the_orm_did_not_see_discards(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.connection().execute(text("INSERT INTO deal (id, name) VALUES (1, 'x')"))
        kpi_success(db, "W", "sent")
    assert golive.metrics() == []


def test_a_close_after_only_reading_records(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.execute(select(Deal)).all()
        kpi_success(db, "W", "priced")
    assert golive.metrics() == ["priced"]


def test_a_write_before_a_savepoint_counts_as_a_write(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        with db.begin_nested():
            db.scalar(select(Deal))
        kpi_success(db, "W", "sent")
    assert golive.metrics() == []
    assert deals(golive.engine) == 0
    assert pipeline.account().discarded == {"uncommitted": 1}


def test_a_write_in_one_of_several_databases_counts_as_a_write(golive: Golive, tmp_path: Path) -> None:
    engines = [create_engine(f"sqlite:///{tmp_path}/business-{number}.db") for number in range(2)]
    for engine in engines:
        Base.metadata.create_all(engine)
    with Session(engines[1]) as db:
        db.add_all(map(deal, range(10)))
        db.flush()
        rows_before = db.connection().connection.driver_connection.total_changes  # type: ignore[union-attr]
        db.rollback()
    assert rows_before == 10  # of the connection that the pool gives again
    with Session() as db:
        db.execute(insert(Deal).values(id=1, name="x"), bind_arguments={"bind": engines[0]})
        db.execute(select(Deal), bind_arguments={"bind": engines[1]})
        kpi_success(db, "W", "sent")
    for engine in engines:
        engine.dispose()
    assert golive.metrics() == []


def test_a_write_after_the_event_counts_as_a_write(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.execute(select(Deal)).all()
        kpi_success(db, "W", "sent")
        db.execute(insert(Deal).values(id=1, name="x"))
    assert golive.metrics() == []


def test_a_close_of_a_transaction_in_which_nothing_ran_records(golive: Golive) -> None:
    db = Session(golive.engine)
    db.begin()
    kpi_success(db, "W", "priced")
    db.close()
    assert golive.metrics() == ["priced"]


def test_a_session_that_is_only_dropped_is_decided_like_a_closed_one(golive: Golive) -> None:
    def forget(write: bool) -> None:
        db = Session(golive.engine)
        db.execute(insert(Deal).values(id=1, name="x") if write else select(Deal))
        kpi_success(db, "W", "wrote" if write else "read")

    forget(write=False)
    forget(write=True)
    gc.collect()
    assert golive.metrics() == ["read"]
    assert deals(golive.engine) == 0


def test_a_dropped_session_has_only_read_whoever_began_its_transaction(
    golive: Golive, tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/business.db", connect_args={"isolation_level": None})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(engine)

    def forget() -> None:
        db = Session(engine)
        db.execute(select(Deal)).all()
        kpi_success(db, "W", "read")

    forget()
    gc.collect()
    assert golive.metrics() == ["read"]
    engine.dispose()


@pytest.mark.parametrize("stopped", [False, True], ids=["configured anew", "shut down"])
def test_a_session_that_outlives_its_pipeline_is_decided_when_it_is_dropped(
    golive: Golive, stopped: bool
) -> None:
    def outlive(write: bool) -> None:
        db = Session(golive.engine)
        db.execute(insert(Deal).values(id=1, name="x") if write else select(Deal))
        kpi_success(db, "W", "wrote" if write else "read")
        if stopped:
            pipeline.shutdown()
        else:
            golive.start()

    outlive(write=False)
    outlive(write=True)
    gc.collect()
    golive.start()
    assert golive.metrics() == ["read"]
    assert deals(golive.engine) == 0
    assert pipeline.account().discarded == {"uncommitted": 1}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_session_that_outlives_its_pipeline_decides_over_its_events(golive: Golive, end: str) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        golive.start()
        getattr(db, end)()
    assert golive.metrics() == (["sent"] if end == "commit" else [])
    assert sum(pipeline.host_account().events.values()) == deals(golive.engine)
    assert pipeline.account().discarded == ({} if end == "commit" else {"rollback": 1})


def test_without_an_open_transaction_an_event_is_recorded_at_once(golive: Golive) -> None:
    db = Session(golive.engine)
    kpi_success(db, "W", "sent")
    kpi_success(None, "W", "sent_without_a_session")
    db.rollback()
    assert golive.metrics() == ["sent", "sent_without_a_session"]


def test_an_exception_between_emit_and_commit_discards(golive: Golive) -> None:
    with pytest.raises(ZeroDivisionError), Session(golive.engine) as db, db.begin():
        db.add(deal(1))
        kpi_success(db, "W", "sent")
        _ = 1 / 0
    assert golive.metrics() == []


def test_an_integrity_error_in_a_step_is_a_failure_and_goes_on_untouched(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.commit()
    with Session(golive.engine) as db:
        kpi_success(db, "W", "before")
        with pytest.raises(IntegrityError) as raised, kpi_timed_step(db, "W", "booked"):
            db.execute(insert(Deal).values(id=1, name="again"))
            db.flush()
        db.rollback()
    rows = golive.rows()
    assert [(row.metric, row.success) for row in rows] == [("before", True), ("booked", False)]
    assert "IntegrityError" in str(rows[1].detail)
    assert raised.value.orig is not None


def test_a_failed_flush_discards_what_it_undid(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.commit()
        db.add(deal(2))
        kpi_success(db, "W", "undone")
        db.add(Deal(id=1, name="again"))
        with pytest.raises(IntegrityError):
            db.commit()
        db.rollback()
        kpi_success(db, "W", "afterwards")
    assert golive.metrics() == ["afterwards"]


def test_two_interleaved_sessions_keep_their_own_fate(golive: Golive) -> None:
    with Session(golive.engine) as one, Session(golive.engine) as two:
        one.execute(select(Deal)).all()
        two.execute(select(Deal)).all()
        kpi_success(one, "W", "one")
        kpi_success(two, "W", "two")
        kpi_success(one, "W", "one")
        two.rollback()
        one.commit()
    assert golive.metrics() == ["one", "one"]


def test_a_begin_block_decides(golive: Golive) -> None:
    with Session(golive.engine) as db:
        with db.begin():
            kpi_success(db, "W", "committed")
            db.add(deal(1))
        with pytest.raises(ZeroDivisionError), db.begin():
            kpi_success(db, "W", "undone")
            _ = 1 / 0
    assert golive.metrics() == ["committed"]


def test_a_session_can_be_used_for_one_transaction_after_the_other(golive: Golive) -> None:
    with Session(golive.engine) as db:
        for number in range(6):
            db.add(deal(number))
            db.flush()
            kpi_success(db, "W", f"deal_{number}")
            db.commit() if number % 2 else db.rollback()
    assert golive.metrics() == ["deal_1", "deal_3", "deal_5"]


def test_a_thousand_events_in_one_transaction_cost_one_statement(golive: Golive) -> None:
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    kpi_success(None, "W", "first")  # with it the store is opened, and its schema looked at
    assert golive.metrics() == ["first"]
    event.listen(golive.engine, "before_cursor_execute", note)
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.flush()
        for number in range(1000):
            kpi_success(db, "W", "sent", detail={"n": number})
        db.commit()
    assert len(statements) == 2
    assert len(golive.rows()) == 1001


def test_an_event_emitted_by_the_flush_of_the_commit_is_in_it(golive: Golive) -> None:
    def before_flush(session: Session, *_: object) -> None:
        kpi_success(session, "W", "flushed")

    db = sessionmaker(golive.engine)()
    event.listen(db, "before_flush", before_flush)
    db.execute(select(Deal)).all()
    kpi_success(db, "W", "sent")
    db.add(deal(1))
    db.commit()
    db.close()
    assert golive.metrics() == ["flushed", "sent"]


def test_the_first_event_may_be_emitted_by_the_flush_of_the_commit(golive: Golive) -> None:
    make = sessionmaker(golive.engine)
    # The second deal is a flush after the flush.
    event.listen(make, "after_flush_postexec", lambda db, _: db.add(deal(2)), once=True)
    event.listen(make, "before_flush", lambda db, *_: kpi_success(db, "W", next(iter(db.new)).name))
    with make() as db:
        db.add(deal(1))
        db.commit()
        # No flush of the pipeline: the rows came with the transaction.
        assert db.scalars(text("SELECT metric FROM kpi_event ORDER BY id")).all() == ["deal_1", "deal_2"]
        assert sum(pipeline.account().events.values()) == deals(golive.engine) == 2


def test_a_hook_of_the_flush_may_commit(golive: Golive) -> None:
    make = sessionmaker(golive.engine)
    event.listen(make, "before_flush", lambda session, *_: session.commit())
    with make() as db:
        db.execute(select(Deal)).all()
        kpi_success(db, "W", "sent")
        db.add(deal(1))
        db.flush()
    assert golive.metrics() == ["sent"]


def test_a_scoped_session_is_a_session(golive: Golive) -> None:
    db = scoped_session(sessionmaker(golive.engine))
    db.add(deal(1))
    db.flush()
    kpi_success(db, "W", "undone")
    db.rollback()
    db.add(deal(1))
    kpi_success(db, "W", "sent")
    db.commit()
    db.remove()
    assert golive.metrics() == ["sent"]


@pytest.mark.parametrize("scoped", [False, True])
def test_an_async_session_is_a_session(golive: Golive, scoped: bool) -> None:
    driver = "sqlite+aiosqlite" if golive.url.get_backend_name() == "sqlite" else "postgresql+asyncpg"

    async def business() -> None:
        engine = create_async_engine(golive.url.set(drivername=driver))
        maker = async_sessionmaker(engine)
        db: Any = async_scoped_session(maker, asyncio.current_task) if scoped else maker()
        db.add(deal(1))
        await db.flush()
        kpi_success(db, "W", "committed")
        kpi_fail(db, "W", "failed")
        await db.commit()
        db.add(deal(2))
        await db.flush()
        kpi_success(db, "W", "undone")
        await db.rollback()
        await db.execute(select(Deal))
        kpi_success(db, "W", "read_and_closed")
        await db.close()
        if not scoped:
            db = maker()
            db.add(deal(3))
            await db.flush()
            kpi_success(db, "W", "written_and_closed")
            await db.close()
            async with maker() as other, other.begin():
                async with kpi_timed_step(other, "W", "step"):
                    other.add(deal(4))
        await engine.dispose()

    asyncio.run(business())
    expected = ["committed", "failed", "read_and_closed"] + ([] if scoped else ["step"])
    assert golive.metrics() == expected


def test_where_the_session_is_on_another_database_events_follow_the_commit(
    golive: Golive, tmp_path: Any
) -> None:
    elsewhere = create_engine(f"sqlite:///{tmp_path}/business.db")
    Base.metadata.create_all(elsewhere)
    with Session(elsewhere) as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "committed")
        assert not pipeline.account().events
        db.commit()
        db.add(deal(2))
        db.flush()
        kpi_success(db, "W", "undone")
        db.rollback()
    elsewhere.dispose()
    assert golive.metrics() == ["committed"]


def test_an_in_memory_session_works_as_any_other_database(golive: Golive) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as db:
        db.add(deal(1))
        kpi_success(db, "W", "committed")
        db.commit()
        db.add(deal(2))
        db.flush()
        kpi_success(db, "W", "undone")
        db.rollback()
    engine.dispose()
    assert golive.metrics() == ["committed"]


def test_what_another_session_wrote_on_the_connection_they_share_discards_nothing(golive: Golive) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER PRIMARY KEY)"))
    with Session(engine) as reading:
        reading.execute(text("SELECT * FROM deal")).all()
        kpi_success(reading, "DEAL", "looked_at")
        with Session(engine) as writing:
            writing.execute(text("INSERT INTO deal VALUES (1)"))
            writing.commit()
    engine.dispose()
    assert golive.metrics() == ["looked_at"]


def test_both_paths_store_the_same(golive: Golive) -> None:
    detail = {
        "text": "ünïcode \\ 'quotes' \"too\"\n\ttab",
        "number": 0.1 + 0.2,
        "none": None,
        "list": [1, 2.5, "x"],
    }
    golive.start()
    with Session(golive.engine) as db:
        db.execute(select(Deal)).all()
        for session in (db, None):
            emit_kpi(session, "W", "m", True, 0.1 + 0.2, "actor\\N", "deal_1", detail)
            emit_kpi(session, "W", "m", None, -1e300, None, None, "plain \\N string")
        db.commit()
    rows = golive.rows()
    assert len(rows) == 4
    columns = ("success", "value", "actor", "correlation_id", "detail", "emitter")
    seen = [tuple(getattr(row, column) for column in columns) for row in sorted(rows, key=lambda row: row.id)]
    assert seen[0] == seen[2]
    assert seen[1] == seen[3]
    assert seen[0][1] == 0.1 + 0.2


def test_a_cancelled_step_is_one_row_outside_every_rate(golive: Golive) -> None:
    for cause in (KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit):
        with pytest.raises(cause), Session(golive.engine) as db, kpi_timed_step(db, "W", "step"):
            db.add(deal(1))
            db.flush()
            raise cause
    assert [(row.success, row.value) for row in golive.rows()] == [(None, None)] * 4
    assert pipeline.account().events == {("W", "step", "cancelled"): 4}


def test_an_async_session_of_its_own_kind_is_accepted(golive: Golive) -> None:
    async def business() -> None:
        driver = "sqlite+aiosqlite" if golive.url.get_backend_name() == "sqlite" else "postgresql+asyncpg"
        engine = create_async_engine(golive.url.set(drivername=driver))
        async with AsyncSession(engine) as db:
            kpi_success(db, "W", "at_once")
        await engine.dispose()

    asyncio.run(business())
    assert golive.metrics() == ["at_once"]


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("there", [False, True], ids=["no schema", "a schema"])
def test_the_first_event_waits_for_no_lock_its_own_transaction_holds(
    sqlite_url: str,
    tmp_path: Path,
    account: Account,
    caplog: pytest.LogCaptureFixture,
    journal: str,
    there: bool,
) -> None:
    url = normalise_url(sqlite_url)
    if there:
        upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA journal_mode = {journal}")
    Base.metadata.create_all(engine)
    golive = Golive(url, tmp_path / "spool", engine)
    golive.start()

    def business() -> None:
        with Session(engine) as db:
            db.add(deal(1))
            kpi_success(db, "W", "sent")
            db.commit()

    business_thread = Thread(target=business, daemon=True)
    business_thread.start()
    business_thread.join(60)
    assert not business_thread.is_alive()
    assert "locked" not in caplog.text
    assert golive.metrics() == ["sent"]
    assert deals(golive.engine) == 1
    engine.dispose()


@pytest.mark.parametrize("earlier", [False, True], ids=["alone", "after another one"])
def test_what_a_hook_after_the_commit_emits_is_true(golive: Golive, earlier: bool) -> None:
    make = sessionmaker(golive.engine)
    event.listen(make, "after_commit", lambda db: kpi_success(db, "W", "hook"))
    with make() as db:
        db.add(deal(1))
        db.flush()
        if earlier:
            kpi_success(db, "W", "held")
        db.commit()
    assert golive.metrics() == (["held", "hook"] if earlier else ["hook"])
    assert not pipeline.account().discarded


def test_what_a_hook_after_a_savepoint_emits_is_decided_with_what_is_around_it(golive: Golive) -> None:
    make = sessionmaker(golive.engine)
    event.listen(make, "after_commit", lambda db: kpi_success(db, "W", "hook"))
    with make() as db:
        with db.begin_nested():
            db.add(deal(1))
        db.rollback()
    assert golive.metrics() == []
    assert pipeline.account().discarded == {"rollback": 1}


def test_what_is_emitted_after_a_failed_flush_is_discarded(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.add(deal(1))
        db.commit()
    with Session(golive.engine) as db:
        db.add(deal(1))
        with pytest.raises(IntegrityError):
            db.commit()
        kpi_success(db, "W", "sent")
        db.rollback()
    with Session(golive.engine) as db:
        savepoint = db.begin_nested()
        db.add(deal(1))
        with pytest.raises(IntegrityError):
            db.flush()
        kpi_success(db, "W", "sent")
        savepoint.rollback()
        db.commit()
    assert golive.metrics() == []
    assert pipeline.account().discarded == {"rollback": 2}


def test_a_session_that_chooses_its_database_by_the_statement_commits(golive: Golive) -> None:
    class Routed(Session):
        def get_bind(self, mapper: Any, **_: Any) -> Any:  # type: ignore[override]  # as applications do
            return golive.engine

    with Routed() as db:
        db.add(deal(1))
        db.flush()
        kpi_success(db, "W", "sent")
        db.commit()
    assert deals(golive.engine) == 1
    assert golive.metrics() == ["sent"]
