"""What the tripwire costs the caller whose every event brings an evaluation."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import _filling
from bench._filling import DOMAIN, STREAM
from bench._rounds import compare

from golive import pipeline, regression, settings
from golive.kpi import kpi_success
from tests.support.postgres import PostgresServer

EVENTS = 100_000
CALLS = 400
PAUSE_S = 0.002
"""Between two events: in a loop without a pause the drain stays away, and nothing would be evaluated."""
ROUNDS = 12


def watched(url: str) -> None:
    regression.upsert_policy(
        url,
        domain=DOMAIN,
        metric=STREAM,
        enabled=True,
        mode="confirmed",
        blind_after_s=86_400,
        actor="bench",
        reason="bench",
    )


@contextmanager
def every(events: int) -> Iterator[None]:
    os.environ[settings.EVALUATE_EVERY_EVENTS] = str(events)
    try:
        yield
    finally:
        del os.environ[settings.EVALUATE_EVERY_EVENTS]


def calls(url: str, folder: str, every_events: int) -> float:
    with every(every_events):
        pipeline.configure(url, spool_dir=folder)
    spent = 0.0
    for _ in range(CALLS):
        started = time.perf_counter()
        kpi_success(None, DOMAIN, STREAM)
        spent += time.perf_counter() - started
        time.sleep(PAUSE_S)
    pipeline.shutdown()
    return spent / CALLS


def for_the_caller(server: PostgresServer) -> str:
    url = _filling.postgresql(server, "tripwire", EVENTS).url
    watched(url)
    with tempfile.TemporaryDirectory() as folder:
        spool = str(Path(folder) / "spool")
        result = compare(lambda: calls(url, spool, 1), lambda: calls(url, spool, 0), ROUNDS)
    return (
        f"| an event whose stream is evaluated after every event | {result.ours * 1e6:.1f} µs | "
        f"the same, never evaluated | {result.theirs * 1e6:.1f} µs | {result.ratio:.2f} | at most 1.05 |"
    )


def main(server: PostgresServer) -> list[str]:
    return [for_the_caller(server)]
