"""A process that is stopped (SIGSTOP) or cut off, dead to the others and not to the database, is in nobody's way."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, go_live, pipeline
from golive.account import Account
from golive.kpi import kpi_success
from golive.risk import risk_reserve_or_raise
from tests.faults import promises
from tests.faults.driving import ask, flush
from tests.faults.injectors import database_away, stopped
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer
from tests.support.risk import change
from tests.support.service import wait_until

DEADLINE_S = "0.5"


def done(act: Callable[[], Any]) -> bool:
    """Try, and tell whether it was done; an act that finds the database in use says so, and is tried again."""
    try:
        act()
    except OperationalError:
        return False
    return True


@pytest.mark.parametrize("transaction", ["act", "expire"])
def test_a_process_stopped_in_a_transaction_keeps_nobody_from_the_levers(
    postgres_machine: Machine, monkeypatch: pytest.MonkeyPatch, transaction: str
) -> None:
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", DEADLINE_S)
    url = postgres_machine.database_url
    change(url, "WHOLESALE", enabled=True)
    risk_reserve_or_raise(url, "WHOLESALE", 1, expires_in_s=0.001)  # so that there is something to expire
    with postgres_machine.started(
        "holding.py", transaction, GOLIVE_DATABASE_DEADLINE_SECONDS=DEADLINE_S
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        with stopped(process.pid):
            wait_until(lambda: done(lambda: risk_reserve_or_raise(url, "WHOLESALE", 1)), 5)
            wait_until(lambda: done(lambda: go_live.engage_kill_switch(url, actor="ops", reason="stop")), 5)
    assert go_live.read(url).kill_switch_engaged
    promises.the_audit_chain_is_whole(url)


def test_maintenance_stopped_while_it_has_the_table_holds_up_no_business_for_long(
    postgres_machine: Machine, account: Account
) -> None:
    url = postgres_machine.database_url
    with postgres_machine.started("holding.py", "maintain") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        with stopped(process.pid):
            pipeline.configure(url, spool_dir=postgres_machine.spool)
            engine = create_engine(
                database.normalise_url(url), connect_args={"options": "-c lock_timeout=5s"}
            )
            with Session(engine) as session:
                session.execute(text("SELECT txid_current()"))
                kpi_success(session, "DEAL", "made")
                session.commit()
            engine.dispose()
    assert [row.metric for row in postgres_machine.rows()] == ["made"]
    pipeline.shutdown()


def test_a_stopped_process_is_not_taken_for_dead_and_delivers_its_events_once(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    with postgres_machine.started("outage.py") as process:
        ask(process, "emit 1")
        with database_away(postgres_server):
            ask(process, "emit 500")
            with stopped(process.pid):
                postgres_server.start()
                postgres_machine.recover()
                assert [row for row in postgres_machine.rows() if row.correlation_id == "000000250"] == []
                assert postgres_machine.left_behind() != []
        assert flush(process, 30)[0]
        process.communicate(timeout=30)
    rows = [row.correlation_id for row in postgres_machine.rows() if row.metric == "event"]
    assert rows == [f"{number:09}" for number in range(501)]
    promises.counters_equal_rows(postgres_machine)
    promises.the_spool_is_empty(postgres_machine)
