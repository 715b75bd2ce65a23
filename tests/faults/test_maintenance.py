"""Maintenance that is killed again and again, while processes that emit are: every event that stays is there once."""

import datetime as dt
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from golive import database, regression
from golive.events import KpiEvent
from golive.exporters.sql import SqlLogRecordExporter
from golive.ids import id_at
from golive.maintenance.maintaining import maintain
from tests.faults.driving import lives, what_lives_were_told_is_there_once
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer

DAY = dt.timedelta(days=1)
READ = [("PAST", "seldom"), *(("KILL", metric) for metric in ("success", "failure", "value", "step"))]
"""Streams with a tripwire: all of their events stay, whatever month it is for those who maintain."""


def past(now: dt.datetime, metric: str, n: int) -> list[KpiEvent]:
    """Return events spread over the two years before."""
    made = []
    for number in range(n):
        ms = round((now - 720 * DAY * (n - number) / n).timestamp() * 1000)
        made.append(
            KpiEvent(
                id=id_at(ms, number + 500_000 * (metric == "seldom")),
                emitter=number,
                domain="PAST",
                metric=metric,
                success=True,
                value=None,
                actor=None,
                correlation_id=f"{metric}-{number}",
                detail=None,
                trace_id=None,
                span_id=None,
                sampled=False,
                duration_ms=None,
                created_ns=ms * 1_000_000,
            )
        )
    return made


@contextmanager
def server_killed_now_and_then(server: PostgresServer, seed: int) -> Iterator[None]:
    """Kill the server at random moments, and start it again; at least twice."""
    chance, stop, kills = random.Random(seed), threading.Event(), 0

    def run() -> None:
        nonlocal kills
        while not stop.wait(chance.uniform(2, 6)):
            server.kill()
            server.start()
            kills += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    print(kills, "kills of the server")
    assert kills >= 2


class Trial:
    """A store with two years of events, maintained through one more while others emit."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine, self.seed = machine, seed
        self.now = dt.datetime.now(dt.UTC)
        self.later = self.now + 400 * DAY
        self.url = database.normalise_url(machine.database_url)
        database.upgrade(self.url)
        for domain, metric in READ:
            regression.upsert_policy(
                self.url, domain=domain, metric=metric, enabled=True, actor="t", reason="t"
            )
        self.often, self.seldom = past(self.now, "often", 60_000), past(self.now, "seldom", 5_000)
        assert self.write(self.often + self.seldom) == 65_000

    def write(self, events: list[KpiEvent]) -> int:
        exporter = SqlLogRecordExporter(self.url)
        try:
            return exporter.write(events)
        finally:
            exporter.shutdown()

    def live(self, times: int) -> Counter[str]:
        """Have maintenance begin so many times and be killed, while processes emit and are killed; return how
        it ended."""
        with lives(self.machine, 10):
            program = ("maintaining.py", times, self.seed, self.now.isoformat(), self.later.isoformat())
            done = self.machine.run(*program)
        print(done.stdout, done.stderr)
        ends = Counter(json.loads(done.stdout))
        assert ends["killed"] >= 5
        assert ends["ended"] >= 5
        return ends

    def check(self) -> None:
        """Check that every event a tripwire reads is there once, and no other old one."""
        self.machine.recover()
        maintain(self.url, retention_days=60, now=self.later)
        found = Counter(row.correlation_id for row in self.machine.rows() if row.domain == "PAST")
        assert found == Counter(event.correlation_id for event in self.seldom)
        assert self.write(self.seldom) == 0
        engine = database.create_store_engine(self.url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM kpi_event WHERE domain = 'PAST'"))
        engine.dispose()
        what_lives_were_told_is_there_once(self.machine)


def test_maintenance_killed_at_random_moments_loses_and_doubles_nothing(any_machine: Machine) -> None:
    trial = Trial(any_machine, new_seed())
    assert trial.live(60)["failed"] == 0
    trial.check()


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_nor_does_it_when_the_server_is_killed_as_well(
    any_machine: Machine, postgres_server: PostgresServer
) -> None:
    trial = Trial(any_machine, new_seed())
    with server_killed_now_and_then(postgres_server, trial.seed):
        trial.live(60)
    trial.check()


def new_seed() -> int:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return seed
