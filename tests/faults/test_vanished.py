"""A database whose network is cut without a word: no connection waits for it for hours."""

import socket
from pathlib import Path

import pytest

from golive import database, pipeline
from golive.kpi import kpi_success
from tests.faults.machine import Machine
from tests.support.proxy import proxied


def test_a_connection_whose_other_end_says_nothing_ends_within_a_minute(postgres_store: str) -> None:
    engine = database.create_store_engine(database.normalise_url(postgres_store))
    with engine.connect() as connection:
        number = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
            assert duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, interval, count = (
                duplicate.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * count <= 60
            assert 0 < duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
    engine.dispose()


def test_a_batch_the_store_took_and_never_answers_is_there_once_in_the_end(
    postgres_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """What stands between may swallow a statement, and pass on all that follow."""
    monkeypatch.setattr("golive.exporters.sql._ANSWER_S", 1.0)
    with proxied(postgres_store) as (proxy, url):
        pipeline.configure(url, spool_dir=tmp_path / "spool")
        request.addfinalizer(pipeline.shutdown)
        kpi_success(None, "DEAL", "made", correlation_id="before")
        assert pipeline.flush(10)
        proxy.mode = "hang"
        kpi_success(None, "DEAL", "made", correlation_id="swallowed")
        assert not pipeline.flush(0.5)
        proxy.mode = "pass"
        assert pipeline.flush(10)
    rows = Machine(tmp_path, postgres_store).correlation_ids()
    assert rows == ["before", "swallowed"]
