"""E2: counters, log records and rows agree, whatever happens in between."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import database, pipeline
from golive.account import Account
from golive.exporters.sql import SqlLogRecordExporter
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value
from golive.otel_logs import LogRecordExportResult, ReadableLogRecord
from tests.contract.conftest import Golive

METRICS = st.sampled_from(["sent", "accepted", "profit"])


class Accounts(RuleBasedStateMachine):
    """Random interleavings of emits, transactions, exporter failures and restarts, on SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        pipeline.shutdown()
        pipeline.account().reset()
        url = database.normalise_url(f"sqlite:///{self.folder}/golive.db")
        database.upgrade(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE note (id INTEGER PRIMARY KEY)"))
        self.golive = Golive(url, self.folder / "spool", engine)
        self.golive.start()
        self.db = Session(engine)
        self.expected = 0
        self.held: list[int] = []

    @initialize()
    def begin(self) -> None:
        self.held = [0]

    @rule(metric=METRICS, number=st.integers(1, 5))
    def emit_outside_any_transaction(self, metric: str, number: int) -> None:
        for _ in range(number):
            kpi_success(None, "W", metric)
        self.expected += number

    @rule(metric=METRICS)
    def emit_a_success_or_value(self, metric: str) -> None:
        in_transaction = self.db.in_transaction()
        kpi_value(self.db, "W", metric, 1.5) if metric == "profit" else kpi_success(self.db, "W", metric)
        if in_transaction:
            self.held[-1] += 1
        else:
            self.expected += 1

    @rule(metric=METRICS)
    def emit_a_failure(self, metric: str) -> None:
        kpi_fail(self.db, "W", metric)
        self.expected += 1

    @rule()
    def fail_a_step(self) -> None:
        try:
            with kpi_timed_step(self.db, "W", "step"):
                raise LookupError
        except LookupError:
            self.expected += 1

    @rule()
    def write(self) -> None:
        self.db.execute(text("INSERT INTO note DEFAULT VALUES"))

    @rule()
    def read(self) -> None:
        self.db.execute(text("SELECT count(*) FROM note"))

    @rule()
    def set_a_savepoint(self) -> None:
        # SQLite's driver opens no transaction for a savepoint; without one its release would commit.
        self.write()
        self.db.begin_nested()
        self.held.append(0)

    @rule(commit=st.booleans())
    def end_a_savepoint(self, commit: bool) -> None:
        nested = self.db.get_nested_transaction()
        if nested is not None:
            held = self.held.pop()
            nested.commit() if commit else nested.rollback()
            self.held[-1] += held if commit else 0

    @rule()
    def commit(self) -> None:
        self.db.commit()
        self.expected += sum(self.held)
        self.held = [0]

    @rule()
    def roll_back(self) -> None:
        self.db.rollback()
        self.held = [0]

    @rule()
    def break_the_exporter_after_writing(self) -> None:
        """The worst failure: the rows are there, and the exporter says they are not."""
        running = pipeline.current()
        assert running is not None
        exporter: Any = running.drain._exporter
        failing = {"left": 2}

        def export(batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
            result = SqlLogRecordExporter.export(exporter, batch)
            failing["left"] -= 1
            if failing["left"] == 0:
                del exporter.export
            return LogRecordExportResult.FAILURE if failing["left"] >= 0 else result

        exporter.export = export

    @rule()
    def restart(self) -> None:
        if not self.db.in_transaction():
            pipeline.shutdown()
            kpi_success(None, "W", "restarted")
            self.expected += 1

    def teardown(self) -> None:
        self.db.rollback()
        self.db.close()
        account = pipeline.account()
        rows = self.golive.rows()
        counters = self.golive.counter()
        events = self.golive.events()
        pipeline.shutdown()
        self.golive.engine.dispose()
        shutil.rmtree(self.folder)
        assert len(rows) == self.expected
        assert sum(account.events.values()) == self.expected
        assert sum(counters.values()) == self.expected
        assert len(events) == self.expected
        assert {record.attributes["golive.event_id"] for record in events} == {row.id for row in rows}


def test_counters_rows_and_events_agree_after_any_interleaving(account: Account) -> None:
    run_state_machine_as_test(
        Accounts,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_counter_has_the_value_and_its_last(golive: Golive) -> None:
    for value in (5, 7.5, -2):
        kpi_value(None, "CAPITAL", "roi", value)
    golive.rows()
    assert golive.counter("golive.kpi.value.sum") == {("CAPITAL", "roi"): 10.5}
    assert golive.counter("golive.kpi.value.last") == {("CAPITAL", "roi"): -2}


def test_a_step_is_in_the_duration_histogram(golive: Golive) -> None:
    with kpi_timed_step(None, "W", "step"):
        pass
    assert golive.rows()[0].duration_ms > 0
    assert golive.counter("golive.kpi.step.duration") == {("W", "step", "success"): 1}


def test_deliveries_and_discards_are_metrics(golive: Golive) -> None:
    with Session(golive.engine) as db:
        db.execute(text("SELECT 1"))
        kpi_success(db, "W", "undone")
        db.rollback()
    kpi_success(None, "W", "sent")
    golive.rows()
    assert golive.counter("golive.discarded.events") == {("rollback",): 1}
    assert golive.counter("golive.exported.events") == {(): 1}
    assert golive.counter("golive.spool.events") == {(): 0}
