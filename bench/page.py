"""What the page costs: the overview on a million events, beside what its queries take, and what it weighs."""

import asyncio
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from bench.gate import production
from fastapi import FastAPI
from sqlalchemy import Engine, event

from golive import database, pipeline, regression
from golive.api import create_app
from golive.api.control import _RATES_KEPT_S
from golive.settings import ServiceSettings
from tests.support.postgres import PostgresServer

FEW, MANY = 1_000, 1_000_000
ROUNDS = 9
TARGET_S, TARGET_RATIO, TARGET_BYTES = 0.150, 1.5, 200_000
RANGES = ("24h", "7d", "30d")


class Queries:
    """How long the statements of this process take, from when they are sent until they are answered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the statements within."""
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        yield
        event.remove(Engine, "before_cursor_execute", self._before)
        event.remove(Engine, "after_cursor_execute", self._after)

    def _before(
        self, _connection: Any, _cursor: Any, _text: str, _given: Any, context: Any, _many: bool
    ) -> None:
        context.began = time.perf_counter()

    def _after(
        self, _connection: Any, _cursor: Any, _text: str, _given: Any, context: Any, _many: bool
    ) -> None:
        self.seconds += time.perf_counter() - context.began
        self.count += 1


def overviews(server: PostgresServer) -> list[str]:
    url = filled(server, "page_few", FEW), filled(server, "page_many", MANY)
    lines = []
    with production(url[1]), tempfile.TemporaryDirectory() as folder:
        os.environ["GOLIVE_SPOOL_DIR"] = folder
        os.environ["GOLIVE_DATABASE_DEADLINE_SECONDS"] = "30"
        pipeline.configure(url[1])
        for number in range(4):
            regression.upsert_policy(
                url[1], domain="W", metric=f"m{number}", enabled=True, actor="bench", reason="bench"
            )
        regression.evaluate_all(url[1])
        few, many = (create_app(each, ServiceSettings(anonymous=frozenset({"read"}))) for each in url)
        lines += [one(many, few, name) for name in RANGES]
        size = asyncio.run(weigh(many))
        lines.append(
            f"| the overview, {MANY:,} events, with its style and script | {size:,} bytes | | | "
            f"| below {TARGET_BYTES:,} |"
        )
        pipeline.shutdown()
        del os.environ["GOLIVE_SPOOL_DIR"], os.environ["GOLIVE_DATABASE_DEADLINE_SECONDS"]
    return lines


def filled(server: PostgresServer, name: str, events: int) -> str:
    """Return the URL of a new database with so many events."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = server.url(name)
    database.upgrade(database.normalise_url(url))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO kpi_event (id, emitter, domain, metric, success, created_at) SELECT n, 1, 'W', "
            "'m' || n %% 40, n %% 3 > 0, now() - n * interval '1 second' FROM generate_series(1, %s) n",
            [events],
        )
        connection.execute("VACUUM ANALYZE kpi_event")
    return url


def one(many: FastAPI, few: FastAPI, name: str) -> str:
    path = f"/?range={name}"
    asyncio.run(answer(many, path))
    took, within = [], []
    for _ in range(ROUNDS):
        time.sleep(_RATES_KEPT_S)  # or the last round's reading of the rates would be shown again
        queries = Queries()
        with queries.counted():
            seconds, text = asyncio.run(answer(many, path))
        took.append(seconds)
        within.append(queries.seconds)
    events = sum(int(found.replace(",", "")) for found in re.findall(r"<span>([\d,]+) events?</span>", text))
    ours, theirs = statistics.median(took), statistics.median(within)
    return (
        f"| the overview, range {name}: {events:,} of {MANY:,} events | {ours * 1e3:.0f} ms | its "
        f"{queries.count} queries | {theirs * 1e3:.0f} ms | {ours / theirs:.2f} "
        f"| at most {TARGET_S * 1e3:.0f} ms, or {TARGET_RATIO} |"
    )


async def answer(app: FastAPI, path: str) -> tuple[float, str]:
    """Return how long an answer takes, and the answer."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        started = time.perf_counter()
        response = await client.get(path, timeout=60)
        seconds = time.perf_counter() - started
    assert response.status_code == 200, response.text
    assert "could not be read" not in response.text
    return seconds, response.text


async def weigh(app: FastAPI) -> int:
    """Return the bytes of the overview and all it loads."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        page = await client.get("/", timeout=60)
        parts = [await client.get(path) for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)]
    return sum(len(part.content) for part in (page, *parts))


def main(server: PostgresServer) -> list[str]:
    return overviews(server)


if __name__ == "__main__":
    made = PostgresServer(durable=True)
    made.start()
    print("\n".join(main(made)))
    made.remove()
