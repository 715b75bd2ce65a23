"""golive beside its peers: what a call costs, how fast all of it is delivered, and what a kill leaves."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from bench.load import peer, sink
from bench.load.figures import Latency, megabytes, table, time_of
from bench.load.places import ROOT, Place
from bench.load.ways import WAYS

from tests.support.postgres import PostgresServer
from tests.support.service import upgraded

EVENTS = 20_000
ROUNDS = 5
KILLS = 10


def main(
    server: PostgresServer, tell: Callable[[str], None], rounds: int = ROUNDS, seed: int | None = None
) -> None:
    """Tell both tables."""
    for name in WAYS:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE peer_{name}".encode())
        upgraded(server.url(f"peer_{name}"))
    tell(f"Each {EVENTS:,} events in a tight loop (the ORM a tenth of it), {rounds} rounds in turn:\n")
    tell(measured(server, rounds))
    seed = random.randrange(2**32) if seed is None else seed
    tell(f"\n`kill -9` at a random moment of {peer.PACE} events/s, {KILLS} times each, seed {seed}:\n")
    tell(killed(server, random.Random(seed)))


def measured(server: PostgresServer, rounds: int) -> str:
    """Measure all of them in turn, the first in each round another one."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        order = [*WAYS][number % len(WAYS) :] + [*WAYS][: number % len(WAYS)]
        for way in order:
            with place_of(server, way) as place:
                done = subprocess.run(
                    _command("measure", way, place), cwd=ROOT, capture_output=True, text=True
                )
                assert done.returncode == 0, done.stderr
                found[way].append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for way, results in found.items():
        events = _events(way)
        called = [events / each["called_s"] for each in results]
        beside = [_events("golive") / each["called_s"] for each in found["golive"]]
        latency = Latency.median([Latency(*each["latency"]) for each in results])
        arrived, twice = (sum(each[name] for each in results) for name in ("arrived", "twice"))
        rows.append(
            [
                WAYS[way].title,
                f"{statistics.median(called):,.0f}",
                f"{statistics.median(a / b for a, b in zip(called, beside, strict=True)):.2f}",
                *map(time_of, (latency.p50, latency.p99, latency.p999, latency.longest)),
                f"{statistics.median(each['arrived'] / each['delivered_s'] for each in results):,.0f}",
                f"{arrived / (events * rounds):.1%}" + (f", {twice} twice" if twice else ""),
                megabytes(statistics.median(each["grown"] for each in results)),
            ]
        )
    head = [
        "",
        "calls/s",
        "to golive's",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "delivered/s",
        "arrived",
        "memory",
    ]
    return table(head, rows)


def killed(server: PostgresServer, chance: random.Random) -> str:
    """Kill each of them while all run, and count what had been acknowledged beside what arrives."""
    counts = {way: [0, 0, 0] for way in WAYS}
    for _ in range(KILLS):
        with ExitStack() as stack:
            places = {way: stack.enter_context(place_of(server, way)) for way in WAYS}
            processes = {
                way: subprocess.Popen(
                    _command("kill", way, place), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
                for way, place in places.items()
            }
            for process in processes.values():
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
            for process in chance.sample([*processes.values()], len(processes)):
                time.sleep(chance.uniform(0.1, 0.4))
                process.kill()
                process.communicate()
            for way, place in places.items():
                if way.startswith("golive"):
                    subprocess.run(_command("recover", way, place), cwd=ROOT, check=True)
                sent = peer.acknowledged(Path(place.folder))
                arrived = WAYS[way].arrived(place)
                survived = set(arrived) & {f"deal_{number}" for number in range(sent)}
                counts[way][0] += sent
                counts[way][1] += len(survived)
                counts[way][2] += len(arrived) - len(set(arrived))
    rows = [
        [WAYS[way].title, f"{sent:,}", f"{there:,}", f"{sent - there:,}", f"{twice:,}"]
        for way, (sent, there, twice) in counts.items()
    ]
    return table(["", "acknowledged", "arrived", "lost", "twice"], rows)


@contextmanager
def place_of(server: PostgresServer, way: str) -> Iterator[Place]:
    """Give a fresh folder, a fresh sink and an empty database."""
    url = server.url(f"peer_{way}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE kpi_event")
    with tempfile.TemporaryDirectory() as folder, sink.sink() as address:
        yield Place(folder, address, url)


def _events(way: str) -> int:
    return round(EVENTS * WAYS[way].share)


def _command(act: str, way: str, place: Place) -> list[str]:
    return [sys.executable, "-m", "bench.load.peer", act, way, str(_events(way)), *place]
