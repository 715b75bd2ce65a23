"""E2: where a commit is sent and never answered, the store says what became true."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, pipeline
from golive.account import Account
from golive.kpi import kpi_success
from tests.contract.conftest import Golive
from tests.support.deals import Base, Deal, deals
from tests.support.proxy import Mode, Proxy, proxied
from tests.support.service import wait_until


@pytest.fixture
def network(postgres_url: str, tmp_path: Path, account: Account) -> Iterator[tuple[Proxy, Golive]]:
    """A pipeline and a business that both reach their database through a proxy."""
    database.upgrade(database.normalise_url(postgres_url))
    with proxied(postgres_url) as (proxy, through):
        url = database.normalise_url(through)
        engine = create_engine(url)
        Base.metadata.create_all(engine)
        harness = Golive(url, tmp_path / "spool", engine)
        harness.start()
        yield proxy, harness
        pipeline.shutdown()
        engine.dispose()


def commit_unanswered(
    proxy: Proxy, harness: Golive, mode: Mode, *, roll_back: bool = False, configure: bool = False
) -> None:
    with Session(harness.engine) as db:
        db.execute(insert(Deal).values(id=1, name="one"))
        for _ in range(20):
            kpi_success(db, "W", "sent")
        if configure:
            harness.start()
        proxy.mode = mode
        with pytest.raises(OperationalError):
            db.commit()
        if roll_back:
            db.rollback()


@contextmanager
def commits_waiting(url: str) -> Iterator[Connection]:
    """Have commits of deals wait in the server until the end of the block, as a replica that is away does."""
    engine = create_engine(database.normalise_url(url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END'"
            )
            connection.exec_driver_sql(
                "CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON deal DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION wait()"
            )
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
            yield connection
    finally:
        engine.dispose()


def counted() -> dict[tuple[str, str, str], int]:
    return dict(pipeline.host_account().events)


@pytest.mark.parametrize("roll_back", [False, True], ids=["closed", "rolled back"])
@pytest.mark.parametrize(
    ("mode", "true"), [("lose answer", 20), ("lose commit", 0)], ids=["committed", "not committed"]
)
def test_a_commit_whose_answer_was_lost_counts_as_the_store_has_it(
    network: tuple[Proxy, Golive], mode: Mode, true: int, roll_back: bool
) -> None:
    proxy, harness = network
    commit_unanswered(proxy, harness, mode, roll_back=roll_back)
    assert counted() == {}
    wait_until(lambda: pipeline.flush(1))
    assert deals(harness.engine) == (1 if true else 0)
    assert len(harness.rows()) == len(harness.events()) == true
    assert sum(counted().values()) == sum(pipeline.account().events.values()) == true
    assert pipeline.account().discarded.get("rollback", 0) == 20 - true


def test_it_is_asked_at_a_shutdown_too_and_after_an_outage(network: tuple[Proxy, Golive]) -> None:
    proxy, harness = network
    commit_unanswered(proxy, harness, "lose answer")
    proxy.mode = "refuse"
    assert not pipeline.flush(3)
    proxy.mode = "pass"
    pipeline.shutdown()
    harness.start()
    assert len(harness.rows()) == 20
    assert sum(counted().values()) == 20


@pytest.mark.parametrize("stopped", [False, True], ids=["it runs on", "it ends meanwhile"])
@pytest.mark.parametrize("committed", [True, False])
def test_while_the_server_has_not_decided_nobody_does(
    network: tuple[Proxy, Golive], postgres_url: str, committed: bool, stopped: bool
) -> None:
    proxy, harness = network
    with commits_waiting(postgres_url) as connection:
        commit_unanswered(proxy, harness, "lose client")
        if stopped:
            pipeline.shutdown()
            harness.start()
        deadline = time.monotonic() + 5  # asked twice meanwhile
        while time.monotonic() < deadline:
            assert not pipeline.flush(1)
        assert not pipeline.account().discarded
        assert counted() == {}
        if not committed:
            waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            assert connection.scalar(text(f"SELECT pg_terminate_backend(({waiting}))"))
    wait_until(lambda: pipeline.flush(1))
    true = 20 if committed else 0
    assert len(harness.rows()) == sum(counted().values()) == true
    if not stopped:
        assert sum(pipeline.account().events.values()) == true
        assert pipeline.account().discarded.get("rollback", 0) == 20 - true


@pytest.mark.parametrize(
    ("mode", "true"), [("lose answer", 20), ("lose commit", 0)], ids=["committed", "not committed"]
)
def test_it_is_asked_of_a_session_that_outlived_its_pipeline(
    network: tuple[Proxy, Golive], mode: Mode, true: int
) -> None:
    proxy, harness = network
    commit_unanswered(proxy, harness, mode, configure=True)
    wait_until(lambda: pipeline.flush(1))
    assert len(harness.rows()) == sum(counted().values()) == true
    assert sum(pipeline.account().events.values()) == true
    assert pipeline.account().discarded.get("rollback", 0) == 20 - true


def test_a_transaction_that_asked_nothing_of_the_database_commits_while_it_is_away(
    network: tuple[Proxy, Golive],
) -> None:
    proxy, harness = network
    kpi_success(None, "W", "before")
    assert harness.metrics() == ["before"]
    harness.engine.dispose()
    proxy.mode = "refuse"
    with Session(harness.engine) as db, db.begin():
        kpi_success(db, "W", "sent")
    proxy.mode = "pass"
    assert harness.metrics() == ["before", "sent"]
