"""What is slow keeps nothing waiting that is not: each door has threads and connections of its own."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from golive import go_live, governance, tokens
from golive.api.auth import Authenticator
from golive.api.control import Control
from golive.evaluator import Evaluator, LeversEvaluator, RunbookEvaluator, StateEvaluator
from golive.exporters.prometheus_gate import GateCollector
from golive.production import ProductionGate
from golive.runbook import build_runbook
from golive.settings import GateSettings
from golive.sql_reader import SqlReader
from golive.state import ALL_OFF, State
from tests.support.service import serving, token, wait_until

GIVE_UP_S = 20.0


class Blocking:
    """Stands for a function that takes until it is released; counts who is in it and who has come."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.released = threading.Event()
        self.entered = 0
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            self.entered += 1
        self.released.wait(GIVE_UP_S)
        return self._answer(*args, **kwargs)


@contextmanager
def asking(client: httpx.Client, times: int, path: str) -> Iterator[list[Any]]:
    """Ask for a path that many times at once; give the answers to come."""
    with (
        ThreadPoolExecutor(times) as pool,
        httpx.Client(
            base_url=client.base_url,
            headers=client.headers,
            timeout=60,
            limits=httpx.Limits(max_connections=times),
        ) as many,
    ):
        yield [pool.submit(many.get, path) for _ in range(times)]


@pytest.fixture
def service(production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", str(GIVE_UP_S))
    with serving(production, anonymous=frozenset({"runbook", "metrics"})) as client:
        client.headers.update(token(production, "read", "ingest", "operate"))
        yield client


def test_slow_reads_keep_neither_the_kill_switch_nor_the_gate_waiting(
    service: httpx.Client, production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Blocking(lambda *_: [])
    monkeypatch.setattr(SqlReader, "summary", reading)
    with asking(service, 60, "/api/kpi/summary") as answers, ExitStack() as used:
        wait_until(lambda: reading.entered >= 5)  # as many as there are connections for events
        assert service.get("/api/governance/runbook/gate").status_code == 200
        for _ in range(5):  # what else reads and acts, a risk guard for one
            used.enter_context(governance.reading(production))
        engaged = service.post("/api/governance/go-live/kill-switch/engage", json={"reason": "now"})
        assert engaged.status_code == 200
        assert not reading.released.is_set()
        reading.released.set()
        assert {answer.result().status_code for answer in answers} == {200}


def test_scrapes_and_probes_do_not_keep_each_other_or_the_gate_waiting(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendering = Blocking(lambda *_: (b"", "text/plain"))
    monkeypatch.setattr(Control, "render_metrics", rendering)
    with asking(service, 40, "/metrics"):
        wait_until(lambda: rendering.entered >= 16)
        assert service.get("/api/governance/runbook/gate").status_code == 200
        assert service.get("/readyz").status_code == 200
        rendering.released.set()


def test_a_slow_store_is_asked_once_about_a_token_that_many_requests_show(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Blocking(tokens.find)
    came: list[str] = []
    principal = Authenticator.principal

    async def counted(self: Authenticator, credential: str, address: str) -> Any:
        came.append(address)
        return await principal(self, credential, address)

    monkeypatch.setattr(tokens, "find", finding)
    monkeypatch.setattr(Authenticator, "principal", counted)
    with asking(service, 40, "/api/kpi/summary") as answers:
        wait_until(lambda: len(came) == 40)
        finding.released.set()
        assert {answer.result().status_code for answer in answers} == {200}
    assert finding.entered == 1


def test_a_scrape_waits_for_the_state_no_longer_than_it_may(production: str) -> None:
    reading = Blocking(lambda: ALL_OFF)
    gate = ProductionGate(reading, GateSettings())
    collector = GateCollector(
        RunbookEvaluator(production, 1.0), LeversEvaluator(production, 1.0), StateEvaluator(gate), wait_s=0.2
    )
    found = {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}
    assert not reading.released.is_set()
    assert found["golive_go_live_enabled"] == 0
    assert found["golive_kill_switch_engaged"] != found["golive_kill_switch_engaged"]  # NaN
    reading.released.set()


def test_a_check_that_hangs_takes_no_other_gauge_with_it(production: str) -> None:
    building = Blocking(build_runbook)
    runbooks = RunbookEvaluator(production, 1.0, building)
    levers = LeversEvaluator(production, 1.0)
    go_live.engage_kill_switch(production, actor="ops", reason="now")
    state = StateEvaluator(ProductionGate(lambda: go_live.read(production), GateSettings()))
    collector = GateCollector(runbooks, levers, state, wait_s=2.0)
    found = {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}
    assert not building.released.is_set()
    assert found["golive_runbook_ok_to_enable_go_live"] == 0
    assert "golive_runbook_evaluated_timestamp_seconds" not in found, "it was not"
    assert found["golive_kill_switch_engaged"] == 1
    assert "golive_risk_throttle" in found
    building.released.set()


@pytest.mark.parametrize("how", ["in a thread", "awaited"])
def test_nobody_is_answered_from_an_evaluation_that_began_before_they_asked_by_more_than_its_interval(
    how: str,
) -> None:
    started = 0
    release = threading.Event()

    def evaluate() -> State:
        nonlocal started
        started += 1
        number = started
        if number == 1:
            release.wait(GIVE_UP_S)
        return ALL_OFF._replace(version=number)

    evaluator = Evaluator(evaluate, 0.05, lambda _: ALL_OFF)
    evaluator.refresh()
    began = time.monotonic()
    wait_until(lambda: started == 1 and time.monotonic() - began > 0.1)
    threading.Timer(0.1, release.set).start()
    found = asyncio.run(evaluator.awaited(GIVE_UP_S)) if how == "awaited" else evaluator.latest(GIVE_UP_S)
    assert found.value.version == 2


_FORKED = """
import os, sys
from sqlalchemy import text
from golive import governance
from golive.runbook import build_runbook

url = sys.argv[1]
engines = [governance.engine_for(url), governance.engine_for(url, lane="switch")]

def sessions():
    found = []
    for engine in engines:
        with engine.connect() as connection:
            found.append(connection.scalar(text("SELECT pg_backend_pid()")))
    return found

build_runbook(url)
mine = sessions()
child = os.fork()
if child == 0:
    shared = set(mine) & set(sessions())
    whole = {check["detail"] and check["detail"].get("error") for check in build_runbook(url)["blockers"]}
    os._exit(1 if shared or whole - {None} else 0)
assert sessions()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_never_talks_over_its_parents_connections(postgres_url: str) -> None:
    from golive import database

    database.upgrade(database.normalise_url(postgres_url))
    run = [sys.executable, "-c", _FORKED, postgres_url]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
