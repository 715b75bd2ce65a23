"""SQLite on a full disk: what it takes is whole, what it does not take is told, and nothing is half (E1, E4)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, go_live, pipeline
from golive.account import Account
from golive.kpi import kpi_success
from golive.risk import risk_reserve_or_raise
from tests.faults import promises
from tests.faults.injectors import Impossible, full_disk, small_disk
from tests.faults.machine import Machine
from tests.support.risk import change

MANY = 2_000
"""So many events need more pages than SQLite keeps in memory here."""


@pytest.fixture
def small(tmp_path: Path, account: Account) -> Iterator[Machine]:
    """A machine whose database, with a table of the business, is alone on a small disk; its pipeline runs."""
    try:
        with small_disk(tmp_path / "small", 2048) as folder:
            machine = Machine(tmp_path, f"sqlite:///{folder / 'golive.db'}")
            database.upgrade(database.normalise_url(machine.database_url))
            engine = create_engine(machine.database_url)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE deal (id varchar(40) PRIMARY KEY)"))
            engine.dispose()
            pipeline.configure(machine.database_url, spool_dir=machine.spool)
            yield machine
            pipeline.shutdown()
    except Impossible as error:
        pytest.skip(f"NOT TESTED, {error}")


@pytest.mark.parametrize("end", ["close", "rollback"])
def test_a_transaction_the_disk_has_no_room_for_fails_as_a_whole(small: Machine, end: str) -> None:
    folder = Path(small.database_url.removeprefix("sqlite:///")).parent
    engine = create_engine(small.database_url)
    with Session(engine) as session:
        session.execute(text("PRAGMA cache_size = 10"))
        session.execute(text("INSERT INTO deal VALUES ('one')"))
        for number in range(MANY):
            kpi_success(session, "DEAL", "made", correlation_id=f"one-{number}", detail={"text": "x" * 200})
        with full_disk(folder):
            with pytest.raises(OperationalError, match="full"):
                session.commit()
            if end == "rollback":
                session.rollback()
    assert pipeline.flush(10)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM deal")) == 0
    engine.dispose()
    assert small.rows() == []
    assert sum(pipeline.account().discarded.values()) == MANY
    promises.counters_equal_rows(small)


def test_events_wait_in_the_spool_until_the_store_has_room_again(small: Machine) -> None:
    told = {}
    with full_disk(Path(small.database_url.removeprefix("sqlite:///")).parent):
        for number in range(MANY):
            told[str(number)] = str(kpi_success(None, "DEAL", "made", correlation_id=str(number)))
        assert not pipeline.flush(0.5)
    assert pipeline.flush(20)
    promises.every_acknowledged_event_is_a_row(small.rows(), told)
    promises.no_event_is_there_twice(small.rows())
    promises.counters_equal_rows(small)


def test_acts_and_bookings_are_done_as_a_whole_or_not_at_all(small: Machine) -> None:
    url = small.database_url
    change(url, "WHOLESALE", enabled=True)
    booked, engaged = 1, 0
    risk_reserve_or_raise(url, "WHOLESALE", 1)
    with full_disk(Path(url.removeprefix("sqlite:///")).parent):
        for number in range(50):  # the file that is there has some room yet
            try:
                risk_reserve_or_raise(url, "WHOLESALE", 1)
                booked += 1
                go_live.engage_kill_switch(url, actor="ops", reason=f"number {number}")
                engaged += 1
            except OperationalError:
                break
        else:
            pytest.fail("the disk was not full")
    state = go_live.engage_kill_switch(url, actor="ops", reason="with room again")
    assert state.version == engaged + 2
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM risk_reservation")) == booked
    promises.ledgers_are_the_sum_of_their_events(engine)
    promises.no_cap_is_exceeded(engine)
    engine.dispose()
    promises.the_audit_chain_is_whole(url)
