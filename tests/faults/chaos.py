"""Random faults against a small fleet on PostgreSQL, with every promise checked about once a minute.

    CHAOS_SECONDS=1800 CHAOS_SEED=7 python -m tests.faults.chaos

Prints the seed first: it repeats the choice of faults, though not the moment at which they meet the programs.
Ends with 1 at the first broken promise, and leaves its folder there to look at.
"""

import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import create_engine, text

from golive import database, go_live, host_account, tokens
from golive.events import KpiEvent
from golive.regression import upsert_policy
from golive.risk import GLOBAL
from golive.risk import upsert_policy as upsert_risk_policy
from tests.faults import fleet, injectors, promises
from tests.faults.injectors import Impossible
from tests.faults.machine import Machine
from tests.support.postgres import PostgresServer
from tests.support.proxy import Mode, proxied
from tests.support.service import free_port, golive_serve
from tests.support.skew import ClockFile

CHECK_EVERY_S = 60.0
DRAINED_WITHIN_S = 120.0
STATE_MAX_AGE_S = 1.0
SETTINGS = {
    "ENV": "production",
    "GO_LIVE_ENFORCE": "1",
    "GOLIVE_SPOOL_WHEN_FULL": "raise",  # so that who emits knows what is not there
    "GOLIVE_STATE_MAX_AGE_SECONDS": str(STATE_MAX_AGE_S),
    "GOLIVE_DATABASE_DEADLINE_SECONDS": "3",
    "GOLIVE_EVALUATE_EVERY_EVENTS": "500",
    "GOLIVE_REQUESTS_PER_MINUTE": "1000000",
    "GOLIVE_AUDIT_INTERVAL_SECONDS": "20",
}
MODES: tuple[Mode, ...] = ("hang", "slow", "refuse", "reset", "lose commit", "lose answer")
ENOUGH_TO_EVALUATE = 5_000
HOUR_S = 3600.0
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
    proxy: Any
    fleet: fleet.Fleet
    service: Service
    clock: ClockFile
    small_disk: bool
    damaged: list[KpiEvent] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0

    def kill_somebody(self, chance: random.Random, _quiet: threading.Event) -> None:
        living = self.fleet.living()
        if not living or not injectors.kill(chance.choice(living)):
            raise Impossible("nobody lives")
        self.kills += 1

    def kill_a_worker(self, chance: random.Random, _quiet: threading.Event) -> None:
        workers = self.service.workers()
        if not workers or not injectors.kill(chance.choice(workers)):
            raise Impossible("no worker lives")
        self.kills += 1

    def kill_the_service(self, chance: random.Random, quiet: threading.Event) -> None:
        self.service.kill()
        self.kills += 3
        quiet.wait(chance.uniform(0, 1))
        self.start_the_service()

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

    def stop_the_database(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.database_away(self.server, "stop"):
            quiet.wait(chance.uniform(0, 2))
        self.restarts += 1

    def kill_the_database(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.database_away(self.server, "kill"):
            quiet.wait(chance.uniform(0, 2))
        self.restarts += 1

    def kill_the_database_in_a_copy(self, chance: random.Random, quiet: threading.Event) -> None:
        how = chance.choice(("stop", "kill"))
        with injectors.database_away_in_a_copy(self.server, self.direct_url, how, patience_s=3):  # type: ignore[arg-type]
            quiet.wait(chance.uniform(0, 1))
        self.restarts += 1

    def take_every_connection(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.no_connection_left(self.direct_url):
            quiet.wait(chance.uniform(0.5, 3))

    def cut_the_network(self, mode: Mode) -> Callable[[random.Random, threading.Event], None]:
        def fault(chance: random.Random, quiet: threading.Event) -> None:
            with injectors.cut(self.proxy, mode):
                quiet.wait(chance.uniform(0.2, 4))

        return fault

    def stop_a_process(self, chance: random.Random, quiet: threading.Event) -> None:
        living = self.fleet.living() + self.service.workers()
        if not living:
            raise Impossible("nobody lives")
        with injectors.stopped(chance.choice(living)):
            quiet.wait(chance.uniform(0.2, 4))

    def fill_the_disk(self, chance: random.Random, quiet: threading.Event) -> None:
        if not self.small_disk:
            raise Impossible("the spool is on no disk of its own")
        with injectors.full_disk(self.machine.spool):
            quiet.wait(chance.uniform(0.5, 3))

    def limit_files(self, chance: random.Random, quiet: threading.Event) -> None:
        living = self.fleet.living("emit", "deal")
        if not living:
            raise Impossible("nobody lives")
        try:
            with injectors.short_files(chance.choice(living), 4096):
                quiet.wait(chance.uniform(0.5, 3))
        except ProcessLookupError as error:
            raise Impossible("it was killed") from error

    def step_the_clock(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.clock_off(self.clock, chance.uniform(-26, 26) * HOUR_S):
            quiet.wait(chance.uniform(0.5, 5))

    def damage_a_spool(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.rows_locked(self.direct_url):  # so that there is something in the spools
            quiet.wait(chance.uniform(0.2, 1))
            for pid in self.fleet.living("emit"):
                self.kills += injectors.kill(pid)
            deadline = time.monotonic() + 1
            while True:
                try:  # a killed process takes a moment to die
                    self.damaged += injectors.damage_a_spool(self.machine.store_folder(), chance)
                except Impossible:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.002)
                else:
                    return


Fault = Callable[[random.Random, threading.Event], None]


def lanes(world: World) -> dict[str, tuple[float, float, dict[str, tuple[int, Fault]]]]:
    """Return what goes on at once: how long each waits between two faults, and which it draws from, with
    their weights."""
    return {
        "kills": (0.4, 1.8, {"kill -9": (1, world.kill_somebody)}),
        "database": (
            1.0,
            7.0,
            {
                "PostgreSQL stopped": (3, world.stop_the_database),
                "PostgreSQL killed": (3, world.kill_the_database),
                "PostgreSQL ended in a COPY": (3, world.kill_the_database_in_a_copy),
                "no connection left": (1, world.take_every_connection),
            },
        ),
        "network": (
            2.0,
            10.0,
            {f"network: {mode}": (1, world.cut_the_network(mode)) for mode in MODES},
        ),
        "machine": (
            0.5,
            4.0,
            {
                "process stopped": (4, world.stop_a_process),
                "disk full": (2, world.fill_the_disk),
                "files limited": (2, world.limit_files),
                "clock stepped": (3, world.step_the_clock),
                "spool damaged": (3, world.damage_a_spool),
                "worker killed": (2, world.kill_a_worker),
                "service killed": (1, world.kill_the_service),
            },
        ),
    }


class Chaos:
    """Draws faults by a seed, in some lanes at once, until it is told to be quiet."""

    def __init__(self, world: World, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.failed: list[str] = []
        self._quiet = threading.Event()
        self._lanes = lanes(world)
        self._chances = {name: random.Random(f"{seed}-{name}") for name in self._lanes}

    def rage(self, seconds: float) -> None:
        """Let faults happen for a time, and heal them all."""
        self._quiet.clear()
        running = [threading.Thread(target=self._run, args=(name,)) for name in self._lanes]
        for thread in running:
            thread.start()
        self._quiet.wait(seconds)
        self._quiet.set()
        for thread in running:
            thread.join()
        assert not self.failed, self.failed[0]

    def _run(self, lane: str) -> None:
        shortest, longest, faults = self._lanes[lane]
        chance = self._chances[lane]
        names, weights = list(faults), [weight for weight, _ in faults.values()]
        try:
            while not self._quiet.wait(chance.uniform(shortest, longest)):
                [name] = chance.choices(names, weights)
                try:
                    faults[name][1](chance, self._quiet)
                except (Impossible, psycopg.OperationalError):
                    continue  # another fault is in the way
                self.faults[name] += 1
        except Exception:  # a fault that cannot be healed, or a service that does not come back
            self.failed.append(f"{lane}\n{traceback.format_exc()}")
            self._quiet.set()


def check(world: World) -> int:
    """Ask everybody to end, wait until what they left is delivered, and check every promise; return how many
    rows there are."""
    machine, told = world.machine, world.fleet.told
    world.fleet.pause(60)
    _wait_until_drained(world)
    rows = machine.rows()
    damaged = [str(event.correlation_id) for event in world.damaged]
    emitted = [row for row in rows if row.domain == "EMIT"]
    promises.no_event_is_there_twice(rows)
    promises.every_acknowledged_event_is_a_row(emitted, told.events, damaged)
    promises.only_what_was_done_is_there(emitted, told.events, told.lives)
    promises.damage_is_reported(machine, len(set(damaged) - {row.correlation_id for row in rows}))
    denied = [row for row in rows if row.metric == "denied"]
    promises.every_acknowledged_event_is_a_row(denied, told.failures, damaged)
    sent = [row for row in rows if row.domain == "SENT"]
    promises.every_acknowledged_event_is_a_row(sent, dict.fromkeys(told.sent, ""), damaged)
    assert not told.out_of_order, f"ids fell in the lives {told.out_of_order}"
    engine = create_engine(database.normalise_url(world.direct_url))
    try:
        with engine.connect() as connection:
            deals = set(connection.scalars(text("SELECT id FROM deal")))
        assert told.deals <= deals, "a commit was acknowledged, and is lost"
        assert not told.called_off & deals, "what was rolled back is there"
        promises.events_follow_their_transactions(
            [row for row in rows if row.domain == "DEAL"], deals, held=("made", "price")
        )
        promises.ledgers_are_the_sum_of_their_events(engine)
        promises.no_cap_is_exceeded(engine)
        promises.bookings_are_as_told(engine, told.bookings.values())
        with engine.connect() as connection:
            evaluated = connection.scalar(text("SELECT count(last_checked_at) FROM regression_state"))
        assert evaluated or len(rows) < ENOUGH_TO_EVALUATE, "no tripwire was evaluated"
    finally:
        engine.dispose()
    promises.every_acknowledged_act_is_in_the_trail(world.direct_url, told.history())
    promises.the_switch_is_as_last_told(world.direct_url, told.history())
    promises.nothing_is_booked_while_the_switch_is_engaged(told.booked_at, told.engaged(), STATE_MAX_AGE_S)
    promises.the_audit_chain_is_whole(world.direct_url)
    return len(rows)


def _wait_until_drained(world: World) -> None:
    lost = Counter((event.domain, event.metric) for event in world.damaged)
    deadline = time.monotonic() + DRAINED_WITHIN_S
    while True:
        try:
            account = host_account.read([world.machine.store_folder()], 400)
            assert account.spool_events == 0, f"{account.spool_events} events wait in the spool"
            promises.counters_equal_rows(world.machine, lost)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
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
        secret = _furnish(direct_url)
        service = Service(folder, machine.environment())
        clock = ClockFile(folder / "clock")
        service.start()
        stack.callback(service.stop)
        programs = stack.enter_context(
            fleet.running(machine, seed, SERVICE=service.url, SERVICE_TOKEN=secret)
        )
        yield World(machine, server, direct_url, proxy, programs, service, clock, small_disk)


def _furnish(url: str) -> str:
    """Make the tables and the policies, let production act, and return a token that may do everything."""
    database.upgrade(database.normalise_url(url))
    for engine, exposure, open_risk, actions in (
        (GLOBAL, 8000, 90, 800), ("WHOLESALE", 5000, 60, 500), ("CAPITAL", 5000, 50, 500),
    ):  # fmt: skip
        upsert_risk_policy(
            url, engine=engine, enabled=True, max_daily_loss=100_000, max_daily_exposure=exposure,
            max_open_risk=open_risk, max_actions_per_day=actions, actor="chaos", reason="caps that are met",
        )  # fmt: skip
    for metric in ("success", "value"):
        upsert_policy(
            url, domain="EMIT", metric=metric, enabled=True, action="NOTIFY", actor="chaos", reason="watched"
        )
    with create_engine(database.normalise_url(url)).begin() as connection:
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


def run(folder: Path, seed: int, seconds: float, check_every_s: float = CHECK_EVERY_S) -> str:
    """Run for some seconds, checks included, and return the result as a Markdown table."""
    began = time.monotonic()
    with world(folder, seed) as there:
        chaos = Chaos(there, seed)
        while True:
            left = seconds - (time.monotonic() - began)
            chaos.rage(max(min(check_every_s, left), 1.0))
            rows = check(there)
            told, passed = there.fleet.told, time.monotonic() - began
            print(
                f"{passed:6.0f} s: {there.kills} kills, {there.restarts} database restarts, "
                f"{told.acknowledged} events acknowledged, {rows} rows, {len(told.bookings)} bookings; "
                + ", ".join(f"{name} {times}" for name, times in sorted(chaos.faults.items())),
                flush=True,
            )
            if passed >= seconds:
                break
            there.fleet.go_on()
        there.service.stop()
        there.machine.recover()
        promises.the_spool_is_empty(there.machine, ["quarantine.log"])
        return table(there, chaos, seed, rows, passed)


def table(there: World, chaos: Chaos, seed: int, rows: int, seconds: float) -> str:
    """Return what happened, as Markdown."""
    told = there.fleet.told
    figures = {
        "seed": seed,
        "minutes": f"{seconds / 60:.1f}",
        "processes killed": there.kills,
        "database restarts": there.restarts,
        **{f"fault: {name}": times for name, times in sorted(chaos.faults.items())},
        "lines of the spool destroyed": len(there.damaged),
        "lives": told.lives,
        "events acknowledged": told.acknowledged,
        "rows": rows,
        "transactions committed": len(told.deals),
        "bookings acknowledged": len(told.bookings),
        "acts acknowledged": len(told.answered),
        "promises broken": 0,
    }
    lines = [f"| {name} | {figure} |" for name, figure in figures.items()]
    return "\n".join(["| chaos | |", "| --- | ---: |", *lines])


def main() -> int:
    """Run by the environment; return the exit code."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
    seconds = float(os.environ.get("CHAOS_SECONDS") or 1800)
    print(f"CHAOS_SEED={seed} CHAOS_SECONDS={seconds:g}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="golive-chaos-"))
    try:
        print(run(folder, seed, seconds, float(os.environ.get("CHAOS_CHECK_SECONDS") or CHECK_EVERY_S)))
    except Exception:
        traceback.print_exc()
        print(f"a promise is broken, or the run itself: CHAOS_SEED={seed}; look into {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
