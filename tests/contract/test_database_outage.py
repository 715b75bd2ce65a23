"""With the database stopped, hanging or slow, everything answers in time, and no."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from golive import database, go_live, governance
from golive.evaluator import RunbookEvaluator
from golive.production import production_gate
from golive.runbook import build_runbook
from tests.support.proxy import Mode, Proxy, proxied

pytestmark = pytest.mark.faults

DEADLINE_S = 0.5


@pytest.fixture
def network(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the database, and the URL through it; the environment is as production needs it."""
    database.upgrade(database.normalise_url(postgres_url))
    with proxied(postgres_url) as (proxy, url):
        for name, value in {
            "ENV": "production",
            "GO_LIVE_ENFORCE": "1",
            "DATABASE_URL": url,
            "GOLIVE_DATABASE_DEADLINE_SECONDS": str(DEADLINE_S),
            "GOLIVE_STATE_MAX_AGE_SECONDS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        yield proxy, url
        proxy.mode = "pass"
        governance.engine_for(url).dispose()


def timed(function: Any, *arguments: Any, **named: Any) -> tuple[Any, float]:
    began = time.monotonic()
    try:
        found = function(*arguments, **named)
    except SQLAlchemyError as error:
        found = error
    return found, time.monotonic() - began


OUTAGES: list[Mode] = ["hang", "refuse", "slow"]


@pytest.mark.parametrize("mode", OUTAGES)
def test_the_runbook_answers_in_time_with_blockers_and_recovers(
    network: tuple[Proxy, str], mode: Mode
) -> None:
    proxy, url = network
    assert build_runbook(url)["ok_to_enable_go_live"]
    proxy.mode = mode
    for _ in range(2):
        found, seconds = timed(build_runbook, url)
        assert not found["ok_to_enable_go_live"]
        assert "kill_switch_clear" in {check["id"] for check in found["blockers"]}
        assert seconds < 2.0 + 1.0  # the checks' timeout, and some room on a busy machine
    proxy.mode = "pass"
    deadline = time.monotonic() + 10
    while not build_runbook(url)["ok_to_enable_go_live"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("mode", OUTAGES)
def test_production_is_refused_within_the_states_maximum_age(network: tuple[Proxy, str], mode: Mode) -> None:
    proxy, url = network
    go_live.enable(url, actor="ops", reason="week 1")
    gate = production_gate(url)
    assert gate.decide().allowed
    proxy.mode, began = mode, time.monotonic()
    while gate.decide().allowed:
        assert time.monotonic() - began < 1.0 + 2 * DEADLINE_S + 0.5
        time.sleep(0.01)
    assert gate.decide().reason == "state_unknown"
    proxy.mode = "pass"
    deadline = time.monotonic() + 10
    while not gate.decide().allowed:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("mode", OUTAGES)
def test_the_kill_switch_fails_in_time_and_works_as_soon_as_the_database_is_back(
    network: tuple[Proxy, str], mode: Mode
) -> None:
    proxy, url = network
    go_live.read(url)
    proxy.mode = mode
    for _ in range(2):
        found, seconds = timed(go_live.engage_kill_switch, url, actor="ops", reason="now")
        assert isinstance(found, SQLAlchemyError)
        assert seconds < 4 * DEADLINE_S + 1
    proxy.mode = "pass"
    deadline = time.monotonic() + 10
    while True:
        state, _ = timed(go_live.engage_kill_switch, url, actor="ops", reason="now")
        if isinstance(state, go_live.State):
            break
        assert time.monotonic() < deadline
    assert go_live.read(url).kill_switch_engaged


def test_an_evaluator_answers_within_what_its_caller_waits(network: tuple[Proxy, str]) -> None:
    proxy, url = network
    evaluator = RunbookEvaluator(url, 0.2)
    assert evaluator.latest(5).value["verdict"] == "pass"
    proxy.mode = "hang"
    time.sleep(0.3)
    found, seconds = timed(evaluator.latest, 0.2)
    assert found.value["verdict"] == "inconclusive"
    assert [check["id"] for check in found.value["blockers"]] == ["runbook_evaluated"]
    assert seconds < 1
    assert not evaluator.latest(5).value["ok_to_enable_go_live"]


def test_an_evaluation_is_not_older_than_its_interval(production: str) -> None:
    evaluator = RunbookEvaluator(production, 0.3)
    first = evaluator.latest(5)
    assert evaluator.latest(5).value is first.value
    time.sleep(0.35)
    second = evaluator.latest(5)
    assert second.value["generated_at"] > first.value["generated_at"]
    assert second.age_s < 0.3 + 1


def test_an_sqlite_file_locked_by_another_blocks_no_reader_and_times_out_a_writer(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", str(DEADLINE_S))
    database.upgrade(database.normalise_url(sqlite_url))
    other = database.create_store_engine(database.normalise_url(sqlite_url))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert not go_live.read(sqlite_url).kill_switch_engaged
        found, seconds = timed(go_live.engage_kill_switch, sqlite_url, actor="ops", reason="now")
        assert isinstance(found, SQLAlchemyError)
        assert seconds < DEADLINE_S + 1.5
    assert go_live.engage_kill_switch(sqlite_url, actor="ops", reason="now").kill_switch_engaged
    other.dispose()
