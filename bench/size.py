"""What reads and the gate cost at 10,000,000 events, beside what they cost at 100,000.

    python -m bench.size [postgresql | partitions | sqlite | clickhouse]...      # all four by default

A store takes some five minutes on two quiet cores, half of which it is filled. ClickHouse is the engine
within this process (`make .venv/.clickhouse`), so that no network is in its figures.
"""

import datetime as dt
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bench import _filling
from bench._filling import DOMAIN, END, STREAM, Filled
from bench._rounds import compare, per_call
from bench.gate import answer, production
from fastapi import FastAPI

from golive import pipeline, readers, regression, settings, state
from golive.api import create_app
from golive.reader import EventFilter, EventReader
from golive.settings import ServiceSettings
from tests.support.postgres import PostgresServer

FEW, MANY = 100_000, 10_000_000
ROUNDS, CALLS = 21, 5
ANSWERS = 31
TARGET = 1.2
LATEST = 1_400
LAST_DAY: Final = END - dt.timedelta(days=1)
STORES: Final = ("postgresql", "partitions", "sqlite", "clickhouse")

Way = Callable[[Filled], float]
"""Returns how many seconds it takes."""


@contextmanager
def filled(name: str) -> Iterator[tuple[Filled, Filled]]:
    """Give a store of many events and one of few."""
    with tempfile.TemporaryDirectory() as folder:
        if name in ("postgresql", "partitions"):
            server = PostgresServer(durable=True)
            server.start()
            fill = partial(_filling.postgresql, server, partitions=name == "partitions")
            yield fill("many", MANY), fill("few", FEW)
            server.remove()
        else:
            fill = partial(getattr(_filling, name), Path(folder))
            yield fill("many", MANY), fill("few", FEW)


def ways(apps: dict[Filled, FastAPI]) -> dict[str, tuple[Way, int]]:
    """Return each way to ask a store, and how many rounds of it are measured."""
    chosen = random.Random(7)

    def calls(call: Callable[[Filled], object], times: int = CALLS) -> tuple[Way, int]:
        return lambda store: per_call(partial(call, store), times), ROUNDS

    def reads(read: Callable[[EventReader, Filled], object], times: int = CALLS) -> tuple[Way, int]:
        def call(store: Filled) -> None:
            with readers.reading(store.url) as reader:
                assert read(reader, store)

        return calls(call, times)

    def answers(path: Callable[[Filled], str]) -> tuple[Way, int]:
        return lambda store: answer(apps[store], path(store)), ANSWERS

    def correlation_id(store: Filled) -> str:
        return store.correlation_id(chosen.randrange(MANY))

    since = quote(LAST_DAY.isoformat())
    return {
        "tripwire: `evaluate_policy`": calls(
            lambda store: regression.evaluate_policy(store.url, DOMAIN, STREAM)
        ),
        f"tripwire: its {LATEST:,} newest events": reads(
            lambda reader, _: reader.newest(DOMAIN, STREAM, LATEST)
        ),
        "timeline of a correlation id": reads(
            lambda reader, store: reader.timeline(correlation_id(store)), 20
        ),
        "`GET /api/kpi/correlations/{id}`": answers(
            lambda store: f"/api/kpi/correlations/{correlation_id(store)}"
        ),
        "summary of the last day": reads(lambda reader, _: reader.summary(LAST_DAY), 1),
        "`GET /api/kpi/summary`, the last day": answers(lambda _: f"/api/kpi/summary?since={since}"),
        "series of the last day, 48 steps": reads(lambda reader, _: reader.series(LAST_DAY, END, 48), 1),
        "the latest 100 of all streams": reads(lambda reader, _: reader.events(EventFilter(), 100)),
        "the latest 100 failures": reads(lambda reader, _: reader.events(EventFilter(success=False), 100)),
        "gate: `GET …/runbook/status`, evaluated anew": answers(lambda _: "/api/governance/runbook/status"),
        "gate: the state, as the middleware reads it": calls(lambda store: state.read(store.url), 50),
        "gate: `GET /metrics`": answers(lambda _: "/metrics"),
    }


@contextmanager
def serving(stores: tuple[Filled, Filled]) -> Iterator[dict[Filled, FastAPI]]:
    """Give a service of each store, in production, with a tripwire enabled."""
    with production(stores[1].url), tempfile.TemporaryDirectory() as folder:
        os.environ[settings.SPOOL_DIR] = folder
        # A machine that others use may be slow for once, and that shall not end the run.
        os.environ[settings.DATABASE_DEADLINE_SECONDS] = "30"
        for store in stores:
            regression.upsert_policy(
                store.url, domain=DOMAIN, metric=STREAM, enabled=True, mode="confirmed",
                blind_after_s=86_400, actor="bench", reason="bench",
            )  # fmt: skip
        pipeline.configure(stores[1].url)
        anyone = ServiceSettings(anonymous=frozenset({"read", "runbook", "metrics"}))
        yield {store: create_app(store.url, anyone) for store in stores}
        pipeline.shutdown()
        del os.environ[settings.SPOOL_DIR], os.environ[settings.DATABASE_DEADLINE_SECONDS]


def asked(way: Way, store: Filled) -> float:
    """Return what a way takes, with the environment that names the store of the events."""
    if store.events_url is not None:
        os.environ[settings.EVENTS_URL] = store.events_url
    return way(store)


def measure(name: str) -> None:
    """Print what each way takes of one store."""
    started = time.perf_counter()
    with filled(name) as stores, serving(stores) as apps:
        many, few = stores
        print(f"{name}, filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        for told, (way, rounds) in ways(apps).items():
            found = compare(partial(asked, way, many), partial(asked, way, few), rounds)
            print(
                f"| {name} | {told} | {found.theirs * 1e3:.2f} ms | {found.ours * 1e3:.2f} ms "
                f"| {found.ratio:.2f} | at most {TARGET} |",
                flush=True,
            )
        os.environ.pop(settings.EVENTS_URL, None)
    print(f"{name}, {time.perf_counter() - started:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    print(
        f"| | | {FEW:,} events | {MANY:,} events | ratio | target |\n| --- | --- | ---: | ---: | ---: | --- |"
    )
    for each in sys.argv[1:] or STORES:
        measure(each)
