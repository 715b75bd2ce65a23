"""Whose transaction a reservation and a denial belong to, and who waits for whom."""

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, risk
from golive.errors import InvalidArgument
from golive.models import RiskEvent, RiskReservation
from golive.risk import (
    GLOBAL,
    risk_reserve_or_raise,
    risk_settle,
)
from tests.support.risk import START, Clock, actions, change, denied, ledger, used
from tests.support.service import wait_until


def test_after_the_callers_rollback_the_denial_is_there_and_the_reservation_is_not(
    store: str, business: Engine, clock: Clock
) -> None:
    with Session(business) as db:
        risk_reserve_or_raise(db, "WHOLESALE", 400)
        error = denied(db, "WHOLESALE", 101, actor="broker", reason="a large one", correlation_id="deal_7")
        assert (error.reason, error.room) == ("max_open_risk", 100)
        clock.advance(minutes=5)
        db.rollback()
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == ledger(denials=1)
    with Session(business) as db:
        [event] = db.scalars(select(RiskEvent))
        assert (event.action, event.ok, event.reason) == ("DENY", False, "max_open_risk")
        assert event.amount == 101
        assert (event.actor, event.correlation_id) == ("broker", "deal_7")
        assert event.created_at == START
        assert event.metadata_json == {
            "asked_for": "a large one", "policy": "WHOLESALE", "reason": "max_open_risk",
            "limit": "500.00", "used": "400.00", "asked": "101.00", "room": "100.00",
        }  # fmt: skip
        assert db.scalar(select(RiskReservation.id)) is None


@pytest.mark.parametrize("change_", [{"throttle": 0.0}, {"enabled": False}, {"max_open_risk": 100}], ids=str)
def test_who_waited_for_the_ledgers_is_held_to_the_policy_of_when_it_gets_them(
    postgres_store: str, change_: dict[str, Any]
) -> None:
    business = create_engine(database.normalise_url(postgres_store))
    risk_reserve_or_raise(postgres_store, "WHOLESALE", 1)  # the day has begun

    def reserve() -> str:
        with Session(business) as db:
            return denied(db, "WHOLESALE", 101).reason

    with ThreadPoolExecutor() as pool:
        with Session(business) as holder:
            risk_reserve_or_raise(holder, "WHOLESALE", 1)
            waiting = pool.submit(reserve)
            wait_until(lambda: is_waiting(business))
            change(postgres_store, "WHOLESALE", **change_)
            assert not waiting.done()
            holder.commit()
        assert waiting.result(30) in ("policy_disabled", "max_open_risk")
    business.dispose()


def is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(connection.scalar(query))


def test_a_denial_that_waits_for_nobody_is_there_at_once(store: str, business: Engine, clock: Clock) -> None:
    with Session(business) as db:
        denied(db, "NOTIFY", 1)
        if business.dialect.name == "postgresql":
            assert actions(store) == ["DENY"]
    assert actions(store) == ["DENY"]


def test_a_denial_does_not_wait_for_who_waits_for_the_callers_rows(postgres_url: str, clock: Clock) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    business = create_engine(database.normalise_url(postgres_url))
    with business.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER)"))
        connection.execute(text("INSERT INTO deal VALUES (1)"))
    with Session(business) as other, Session(business) as db:
        db.execute(text("SELECT id FROM deal FOR UPDATE"))
        risk_reserve_or_raise(other, "WHOLESALE", 1)  # locks the ledgers, and may want the row next
        denied(db, "NOTIFY", 1)
        assert actions(postgres_url) == []
        other.commit()
        db.rollback()
    assert actions(postgres_url) == ["RESERVE", "DENY"]
    business.dispose()


def test_a_denial_in_a_part_of_a_longer_transaction_belongs_to_that(
    store: str, business: Engine, clock: Clock
) -> None:
    with business.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id INTEGER)"))
        connection.execute(text("INSERT INTO deal VALUES (1)"))
        with Session(connection, join_transaction_mode="create_savepoint") as db:
            risk_reserve_or_raise(db, "WHOLESALE", 400)
            denied(db, "WHOLESALE", 400)
            db.commit()  # the connection goes on, and has the ledgers locked
    reserved = ledger(exposure_used=400, open_risk_reserved=400, actions_count=1, denials=1)
    assert used(store, "WHOLESALE") == used(store, GLOBAL) == reserved
    assert actions(store) == ["RESERVE", "DENY"]


def test_a_reservation_whose_deadline_passed_while_it_waited_is_never_made(
    postgres_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", "0.5")
    business = create_engine(database.normalise_url(postgres_url))
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    risk_reserve_or_raise(business, "WHOLESALE", 8)
    with Session(business) as db, business.connect() as watcher:
        risk_reserve_or_raise(db, "WHOLESALE", 1)
        with pytest.raises(OperationalError):
            risk_reserve_or_raise(postgres_url, "WHOLESALE", 2)
        deadline = time.monotonic() + 20
        while watcher.scalar(waiting) and time.monotonic() < deadline:
            watcher.rollback()
        db.commit()
    risk_reserve_or_raise(business, "WHOLESALE", 4)  # after whoever waited
    assert used(postgres_url, GLOBAL)["exposure_used"] == 13
    business.dispose()


def test_threads_that_begin_a_day_do_not_wait_for_each_others_connections(
    postgres_url: str, clock: Clock
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    together = Barrier(8)

    def reserve(_: int) -> dt.date:
        together.wait()
        return risk_reserve_or_raise(postgres_url, "WHOLESALE", 1, expires_in_s=60).day

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(reserve, range(8))) == {START.date()}
        clock.advance(days=1)  # and all of them have expired
        assert set(threads.map(reserve, range(8))) == {START.date() + dt.timedelta(days=1)}
    assert used(postgres_url, "WHOLESALE", clock.now)["actions_count"] == 8


def test_a_database_that_is_stricter_by_default_costs_no_reservation(postgres_url: str, clock: Clock) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    business = create_engine(database.normalise_url(postgres_url))
    with business.begin() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    business.dispose()
    with ThreadPoolExecutor(4) as threads:
        made = threads.map(lambda _: risk_reserve_or_raise(postgres_url, "WHOLESALE", 1).id, range(100))
        assert len(set(made)) == 100
    assert used(postgres_url, GLOBAL)["exposure_used"] == 100


def test_a_reservation_commits_with_the_callers_transaction(
    store: str, business: Engine, clock: Clock
) -> None:
    with Session(business) as db:
        db.execute(text("CREATE TABLE deal (id INTEGER)"))
        db.commit()
        made = risk_reserve_or_raise(db, "WHOLESALE", 10)
        db.execute(text("INSERT INTO deal VALUES (1)"))
        if business.dialect.name == "postgresql":
            assert used(store, "WHOLESALE")["actions_count"] == 0
        with db.begin_nested() as savepoint:
            risk_reserve_or_raise(db, "WHOLESALE", 20)
            savepoint.rollback()
        db.commit()
        assert used(store, "WHOLESALE")["exposure_used"] == 10
        risk_settle(db, "WHOLESALE", 10, 1, reservation_id=made.id)
        db.rollback()
        assert used(store, "WHOLESALE")["open_risk_reserved"] == 10


def test_an_asynchronous_session_is_told_how(sqlite_url: str) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    with pytest.raises(InvalidArgument, match="run_sync"):
        risk_reserve_or_raise(AsyncSession(), "WHOLESALE", 1)
    assert risk.__doc__
