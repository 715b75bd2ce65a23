"""The world that chaos rages in: a fleet and a service on one machine, PostgreSQL behind a network, a clock."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from golive import database, go_live, governance, tokens
from golive.events import KpiEvent
from golive.regression import KILL_SWITCH, NOTIFY, THROTTLE, upsert_policy
from golive.risk import GLOBAL
from golive.risk import upsert_policy as upsert_risk_policy
from tests.faults import fleet, injectors
from tests.faults.injectors import Impossible
from tests.faults.machine import Machine
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy, proxied
from tests.support.service import golive_serve
from tests.support.skew import ClockFile

STATE_MAX_AGE_S = 1.0
SETTINGS = {
    "ENV": "production",
    "GO_LIVE_ENFORCE": "1",
    "GOLIVE_SPOOL_WHEN_FULL": "raise",  # so that who emits knows what is not there
    "GOLIVE_STATE_MAX_AGE_SECONDS": str(STATE_MAX_AGE_S),
    "GOLIVE_DATABASE_DEADLINE_SECONDS": "3",
    "GOLIVE_EVALUATE_EVERY_EVENTS": "100",
    "GOLIVE_EVALUATE_INTERVAL_SECONDS": "2",
    "GOLIVE_REQUESTS_PER_MINUTE": "1000000",
    "GOLIVE_AUDIT_INTERVAL_SECONDS": "20",
}
SPOOL_KIB = 16 << 10


class Service:
    """`golive serve` with two workers, on one port, killed and started anew."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment, self.port = folder, environment, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._running = ExitStack()
        self._process: psutil.Process | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        serving = golive_serve(self.folder, self.environment, "--workers", "2", port=self.port)
        _, process, _ = self._running.enter_context(serving)
        self._process = psutil.Process(process.pid)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._running.close()
        self._process = None

    def kill(self) -> None:
        """Kill all of it."""
        for pid in [*self.workers(), *([self._process.pid] if self._process else [])]:
            injectors.kill(pid)
        self.stop()

    def workers(self) -> list[int]:
        """Return its worker processes."""
        if self._process is None:
            return []
        try:
            children = self._process.children(recursive=True)
            return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.NoSuchProcess:
            return []


@dataclass
class World:
    """Everything there is to break."""

    machine: Machine
    server: PostgresServer
    direct_url: str
    proxy: Proxy
    fleet: fleet.Fleet
    service: Service
    clock: ClockFile
    small_disk: bool
    damaged: list[KpiEvent] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0
    trips: Counter[str] = field(default_factory=Counter)

    def start_the_service(self) -> None:
        """Start it as a supervisor does: again, where the database is away at that moment."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.service.start()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            else:
                return


@contextmanager
def world(folder: Path, seed: int) -> Iterator[World]:
    """Set everything up, and give it; end every program at the end."""
    with ExitStack() as stack:
        server = PostgresServer(settings={"max_connections": "60"})
        stack.callback(server.remove)
        server.start()
        direct_url = server.url()
        proxy, url = stack.enter_context(proxied(direct_url))
        machine = Machine(folder, url, dict(SETTINGS))
        small_disk = True
        try:
            stack.enter_context(injectors.small_disk(machine.spool, SPOOL_KIB))
        except Impossible as error:
            small_disk = False
            print(f"NOT TESTED, a full disk: {error}")
        secret = furnish(direct_url)
        service = Service(folder, machine.environment())
        clock = ClockFile(folder / "clock")
        service.start()
        stack.callback(service.stop)
        programs = stack.enter_context(
            fleet.running(machine, seed, SERVICE=service.url, SERVICE_TOKEN=secret)
        )
        yield World(machine, server, direct_url, proxy, programs, service, clock, small_disk)


def furnish(url: str) -> str:
    """Make the tables and the policies, let production act, and return a token that may do everything."""
    database.upgrade(database.normalise_url(url))
    for engine, exposure, open_risk, actions in (
        (GLOBAL, 8000, 90, 800), ("WHOLESALE", 5000, 60, 500), ("CAPITAL", 5000, 50, 500), ("FALL", 1, 1, 1),
    ):  # fmt: skip
        upsert_risk_policy(
            url, engine=engine, enabled=True, max_daily_loss=100_000, max_daily_exposure=exposure,
            max_open_risk=open_risk, max_actions_per_day=actions, actor="chaos", reason="caps that are met",
        )  # fmt: skip
    for domain, metric, action in (
        ("EMIT", "success", NOTIFY), ("EMIT", "value", NOTIFY),
        ("FALL", "engine", THROTTLE), ("FALL", "switch", KILL_SWITCH),
    ):  # fmt: skip
        upsert_policy(
            url, domain=domain, metric=metric, enabled=True, action=action, actor="chaos", reason="watched"
        )
    with governance.engine_for(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE deal (id varchar(40) PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE FUNCTION exceeded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS ("
            "SELECT FROM risk_policy WHERE engine = NEW.engine AND (NEW.exposure_used > max_daily_exposure "
            "OR NEW.open_risk_reserved > max_open_risk OR NEW.actions_count > max_actions_per_day)) "
            "OR NEW.exposure_used < 0 OR NEW.open_risk_reserved < 0 OR NEW.actions_count < 0 THEN "
            "RAISE EXCEPTION 'a cap is exceeded'; END IF; RETURN NEW; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER cap AFTER UPDATE ON risk_ledger_day FOR EACH ROW EXECUTE FUNCTION exceeded()"
        )
    with _environment(SETTINGS | {"DATABASE_URL": url}):
        go_live.enable(url, actor="chaos", reason="production may act")
    return tokens.create(url, name="chaos", scopes=tokens.SCOPES, actor="chaos")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
