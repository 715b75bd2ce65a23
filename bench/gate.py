"""What the gate costs a request: the middleware. What it costs as the events grow is in `bench.size`."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from bench._rounds import compare
from fastapi import FastAPI

from golive import database, go_live
from golive.api.production import ProductionMiddleware

REQUESTS = 2000
ROUNDS = 15
INTERVAL_S = 0.06

_SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/deals/7",
    "raw_path": b"/deals/7",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


def an_app() -> FastAPI:
    app = FastAPI()

    @app.post("/deals/{number}")
    async def book(number: int) -> dict[str, int]:
        return {"number": number}

    return app


async def requests(app: Any) -> float:
    """Return the seconds a request takes, without a server between."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    started = time.perf_counter()
    for _ in range(REQUESTS):
        await app(dict(_SCOPE), receive, send)
    return (time.perf_counter() - started) / REQUESTS


def middleware() -> str:
    with (
        tempfile.TemporaryDirectory() as folder,
        production(f"sqlite:///{Path(folder) / 'golive.db'}") as url,
    ):
        database.upgrade(database.normalise_url(url))
        go_live.enable(url, actor="bench", reason="bench")
        guarded, bare = an_app(), an_app()
        guarded.add_middleware(ProductionMiddleware)
        result = compare(lambda: asyncio.run(requests(guarded)), lambda: asyncio.run(requests(bare)), ROUNDS)
    return (
        f"| request through the middleware | {result.ours * 1e6:.1f} µs | bare FastAPI request, no server "
        f"| {result.theirs * 1e6:.1f} µs | {result.ratio:.2f} | at most 1.1 |"
    )


def answer(app: FastAPI, path: str) -> float:
    """Return the seconds an answer takes, the runbook evaluated anew for it."""
    time.sleep(INTERVAL_S)
    return asyncio.run(_answer(app, path))


async def _answer(app: FastAPI, path: str) -> float:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        started = time.perf_counter()
        response = await client.get(path)
        seconds = time.perf_counter() - started
    assert response.status_code == 200, response.text
    return seconds


@contextmanager
def production(url: str) -> Iterator[str]:
    """Set the environment as production needs it."""
    settings = {
        "ENV": "production",
        "GO_LIVE_ENFORCE": "1",
        "DATABASE_URL": url,
        "GOLIVE_RUNBOOK_INTERVAL_SECONDS": "0.05",  # below INTERVAL_S
    }
    os.environ.update(settings)
    yield url
    for name in settings:
        del os.environ[name]


def main() -> list[str]:
    return [middleware()]
