"""More events than the service can take: it says at once when to come again, and loses nothing it took."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from golive import ingest
from golive.api import create_app
from golive.api.otlp.bodies import PROTOBUF
from golive.api.problems import Problem
from golive.api.turns import Turns
from golive.settings import ServiceSettings
from tests.support.otlp import encoded, events, post, record, status_of
from tests.support.service import serving_app, token, upgraded, wait_until

KPI = "/api/governance/regression/kpi"
EVENT = {"domain": "WHOLESALE", "metric": "offer_sent", "success": True}


class Door:
    """Holds up whoever takes events until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.waiting = 0
        self.open = threading.Event()
        through = getattr(ingest, name)

        def hold_up(given: Any) -> Any:
            self.waiting += 1
            assert self.open.wait(20)
            return through(given)

        monkeypatch.setattr(ingest, name, hold_up)


@contextmanager
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: Turns) -> Iterator[httpx.Client]:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    url = upgraded(f"sqlite:///{tmp_path / 'golive.db'}")
    app = create_app(url, ServiceSettings())
    app.state.golive.kpi_turns = app.state.golive.otlp_turns = turns
    with serving_app(app) as client:
        client.headers.update(token(url, "ingest", "read"))
        yield client


def test_more_requests_than_are_taken_on_are_told_at_once_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, turns = Door(monkeypatch, "record"), Turns(1, under_way=3)
    with (
        service(tmp_path, monkeypatch, turns) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        sent: list[Future[httpx.Response]] = [pool.submit(client.post, KPI, json=EVENT) for _ in range(3)]
        wait_until(lambda: turns.room == 0)
        large = client.post(KPI, json={"events": [EVENT] * 1000})
        assert large.status_code == 503
        assert large.headers["retry-after"] == "2"
        assert large.json()["title"] == "Too busy"
        assert door.waiting == 1
        assert client.get("/livez").status_code == 200
        assert client.get("/api/kpi/events").status_code == 200
        door.open.set()
        assert [each.result().status_code for each in sent] == [201] * 3
        assert client.post(KPI, json=EVENT).status_code == 201
        assert len(events(client)) == 4


def test_who_waits_too_long_for_its_turn_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(monkeypatch, "take")
    first, second = (encoded(PROTOBUF, [record(at_ns=at_ns)]) for at_ns in (1_000, 2_000))
    with (
        service(tmp_path, monkeypatch, Turns(1, wait_s=0.05)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        sent = pool.submit(post, client, PROTOBUF, first)
        wait_until(lambda: door.waiting == 1)
        refused = post(client, PROTOBUF, second)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "2"
        assert status_of(refused) == (14, refused_text(refused))
        assert door.waiting == 1
        door.open.set()
        assert sent.result().status_code == 200
        assert post(client, PROTOBUF, second).status_code == 200
        assert len(events(client)) == 2


def test_a_request_that_is_cancelled_gives_back_its_room_at_once_and_its_turn_once_its_work_is_done() -> None:
    begun, finish = threading.Semaphore(0), threading.Event()

    def work() -> None:
        begun.release()
        assert finish.wait(5)

    async def several() -> None:
        turns = Turns(1, under_way=3, wait_s=0.1)

        async def request() -> None:
            with turns.taken_on():
                await turns.run(work)

        working = asyncio.create_task(request())
        assert await asyncio.to_thread(begun.acquire, timeout=20)
        waiting = asyncio.create_task(request())
        await asyncio.sleep(0)
        assert turns.room == 1
        for each in (working, waiting):
            each.cancel()
        await asyncio.wait([working, waiting])
        assert turns.room == 3
        with pytest.raises(Problem):  # the thread works on
            await request()
        assert not begun.acquire(blocking=False)
        finish.set()
        await request()

    asyncio.run(several())


def refused_text(answer: httpx.Response) -> str:
    text = status_of(answer)[1]
    assert "Nothing of this request was recorded" in text
    return text
