"""What the gate costs: the middleware on a request, and the runbook and a scrape as the events grow."""

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

from golive import database, go_live, pipeline
from golive.api import create_app
from golive.api.production import ProductionMiddleware
from golive.settings import ServiceSettings
from tests.support.postgres import PostgresServer

REQUESTS = 2000
ROUNDS = 15
ANSWERS = 20
FEW, MANY = 1_000, 1_000_000

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


def growth(server: PostgresServer) -> list[str]:
    url = database.normalise_url(server.url())
    database.upgrade(url)
    lines = []
    with production(url.render_as_string(hide_password=False)), tempfile.TemporaryDirectory() as folder:
        os.environ["GOLIVE_SPOOL_DIR"] = folder
        app = create_app(settings=ServiceSettings(anonymous=frozenset({"runbook", "metrics"})))
        pipeline.configure(url)
        for path in ("/api/governance/runbook/status", "/metrics"):
            fill(server, FEW)
            few = asyncio.run(answers(app, path))
            fill(server, MANY)
            many = asyncio.run(answers(app, path))
            lines.append(
                f"| `{path}`, {MANY:,} events | {many * 1e3:.1f} ms | the same, {FEW:,} events "
                f"| {few * 1e3:.1f} ms | {many / few:.2f} | at most 1.2 |"
            )
        pipeline.shutdown()
        del os.environ["GOLIVE_SPOOL_DIR"]
    return lines


async def answers(app: FastAPI, path: str) -> float:
    """Return the median seconds of an answer, the runbook evaluated anew for each."""
    seconds = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        for _ in range(ANSWERS + 2):
            started = time.perf_counter()
            response = await client.get(path)
            seconds.append(time.perf_counter() - started)
            assert response.status_code == 200, response.text
            await asyncio.sleep(0.06)  # past the interval
    return sorted(seconds[2:])[ANSWERS // 2]


def fill(server: PostgresServer, events: int) -> None:
    import psycopg

    with psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("TRUNCATE kpi_event")
        connection.execute(
            "INSERT INTO kpi_event (id, emitter, domain, metric, success, created_at) SELECT n, 1, 'W', "
            "'m' || n % 40, n % 3 > 0, now() - n * interval '1 second' FROM generate_series(1, %s) n",
            [events],
        )
        connection.execute("VACUUM ANALYZE kpi_event")


@contextmanager
def production(url: str) -> Iterator[str]:
    """Set the environment as production needs it."""
    settings = {
        "ENV": "production",
        "GO_LIVE_ENFORCE": "1",
        "DATABASE_URL": url,
        "GOLIVE_RUNBOOK_INTERVAL_SECONDS": "0.05",
    }
    os.environ.update(settings)
    yield url
    for name in settings:
        del os.environ[name]


def main(server: PostgresServer) -> list[str]:
    return [middleware(), *growth(server)]
