"""What the tripwire costs: an evaluation as the events grow, and the caller whose every event brings one."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from bench._rounds import compare

from golive import database, pipeline, regression, settings
from golive.kpi import kpi_success
from tests.support.postgres import PostgresServer

FEW, MANY = 100_000, 10_000_000
STREAM = ("WHOLESALE", "contract_rate")
EVALUATIONS = 20
ROUNDS = 15

CALLS = 400
PAUSE_S = 0.002
"""Between two events: in a loop without a pause the drain stays away, and nothing would be evaluated."""
CALL_ROUNDS = 12

_FILL = """
INSERT INTO kpi_event (id, emitter, domain, metric, success, created_at)
SELECT number, 1, %s, %s, number %% 10 <> 0, now() - make_interval(secs => 0.01 * (%s - number))
FROM generate_series(1, %s) AS number
"""


def watched(url: str) -> None:
    regression.upsert_policy(
        url,
        domain=STREAM[0],
        metric=STREAM[1],
        enabled=True,
        mode="confirmed",
        blind_after_s=86_400,
        actor="bench",
        reason="bench",
    )


def filled(server: PostgresServer, name: str, events: int) -> str:
    url = server.url(name)
    with psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    database.upgrade(database.normalise_url(url))
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_FILL, (*STREAM, events, events))
        connection.execute("VACUUM (ANALYZE) kpi_event")
    watched(url)
    return url


def evaluating(url: str) -> float:
    started = time.perf_counter()
    for _ in range(EVALUATIONS):
        regression.evaluate_policy(url, *STREAM)
    return (time.perf_counter() - started) / EVALUATIONS


def as_events_grow(server: PostgresServer) -> str:
    many, few = filled(server, "tripwire_many", MANY), filled(server, "tripwire_few", FEW)
    result = compare(lambda: evaluating(many), lambda: evaluating(few), ROUNDS)
    return (
        f"| evaluation, {MANY:,} events | {result.ours * 1e3:.1f} ms | the same, {FEW:,} events | "
        f"{result.theirs * 1e3:.1f} ms | {result.ratio:.2f} | at most 1.2 |"
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
        kpi_success(None, *STREAM)
        spent += time.perf_counter() - started
        time.sleep(PAUSE_S)
    pipeline.shutdown()
    return spent / CALLS


def for_the_caller(server: PostgresServer) -> str:
    url = server.url("tripwire_few")
    with tempfile.TemporaryDirectory() as folder:
        spool = str(Path(folder) / "spool")
        result = compare(lambda: calls(url, spool, 1), lambda: calls(url, spool, 0), CALL_ROUNDS)
    return (
        f"| an event whose stream is evaluated after every event | {result.ours * 1e6:.1f} µs | "
        f"the same, never evaluated | {result.theirs * 1e6:.1f} µs | {result.ratio:.2f} | at most 1.05 |"
    )


def main(server: PostgresServer) -> list[str]:
    return [as_events_grow(server), for_the_caller(server)]
