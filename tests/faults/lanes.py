"""What chaos does to its world: faults, drawn by a seed, in some lanes at once."""

import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psycopg

from tests.faults import injectors
from tests.faults.injectors import Impossible
from tests.faults.world import World
from tests.support.proxy import Mode

MODES: tuple[Mode, ...] = ("hang", "slow", "refuse", "reset", "lose commit", "lose answer")
HOUR_S = 3600.0
DISK_FULL = "disk full"
"""The one fault that not every machine allows."""

Fault = Callable[[random.Random, threading.Event], None]
"""Does something to the world, and heals it: in a time that is drawn, or at once when all is to be quiet."""


class Faults:
    """The faults of a world.

    Raises:
        Impossible: This machine, or this moment, does not allow it. Any of them may.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    def kill_somebody(self, chance: random.Random, _quiet: threading.Event) -> None:
        living = self.world.fleet.living()
        if not living or not self._kill(chance.choice(living)):
            raise Impossible("nobody lives")

    def kill_a_worker(self, chance: random.Random, _quiet: threading.Event) -> None:
        workers = self.world.service.workers()
        if not workers or not self._kill(chance.choice(workers)):
            raise Impossible("no worker lives")

    def kill_the_service(self, chance: random.Random, quiet: threading.Event) -> None:
        if any(map(self._counts_alone, self.world.service.workers())):
            raise Impossible("it would take its counts with it")
        self.world.service.kill()
        self.world.kills += 3
        quiet.wait(chance.uniform(0, 1))
        self.world.start_the_service()

    def stop_the_database(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.database_away(self.world.server, "stop"):
            quiet.wait(chance.uniform(0, 2))
        self.world.restarts += 1

    def kill_the_database(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.database_away(self.world.server, "kill"):
            quiet.wait(chance.uniform(0, 2))
        self.world.restarts += 1

    def kill_the_database_in_a_copy(self, chance: random.Random, quiet: threading.Event) -> None:
        how = chance.choice(("stop", "kill"))
        with injectors.database_away_in_a_copy(self.world.server, self.world.direct_url, how, patience_s=3):  # type: ignore[arg-type]
            quiet.wait(chance.uniform(0, 1))
        self.world.restarts += 1

    def take_every_connection(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.no_connection_left(self.world.direct_url):
            quiet.wait(chance.uniform(0.5, 3))

    def cut_the_network(self, mode: Mode) -> Callable[[random.Random, threading.Event], None]:
        def fault(chance: random.Random, quiet: threading.Event) -> None:
            with injectors.cut(self.world.proxy, mode):
                quiet.wait(chance.uniform(0.2, 4))

        return fault

    def stop_a_process(self, chance: random.Random, quiet: threading.Event) -> None:
        living = self.world.fleet.living() + self.world.service.workers()
        if not living:
            raise Impossible("nobody lives")
        with injectors.stopped(chance.choice(living)):
            quiet.wait(chance.uniform(0.2, 4))

    def fill_the_disk(self, chance: random.Random, quiet: threading.Event) -> None:
        if not self.world.small_disk:
            raise Impossible("the spool is on no disk of its own")
        with injectors.full_disk(self.world.machine.spool):
            quiet.wait(chance.uniform(0.5, 3))

    def limit_files(self, chance: random.Random, quiet: threading.Event) -> None:
        living = self.world.fleet.living("emit", "deal")
        if not living:
            raise Impossible("nobody lives")
        try:
            with injectors.short_files(chance.choice(living), 4096):
                quiet.wait(chance.uniform(0.5, 3))
        except ProcessLookupError as error:
            raise Impossible("it was killed") from error

    def step_the_clock(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.clock_off(self.world.clock, chance.uniform(-26, 26) * HOUR_S):
            quiet.wait(chance.uniform(0.5, 5))

    def damage_a_spool(self, chance: random.Random, quiet: threading.Event) -> None:
        with injectors.rows_locked(self.world.direct_url):  # so that there is something in the spools
            quiet.wait(chance.uniform(0.2, 1))
            for pid in self.world.fleet.living("emit"):
                self._kill(pid)
            deadline = time.monotonic() + 1
            while True:
                try:  # a killed process takes a moment to die
                    self.world.damaged += injectors.damage_a_spool(self.world.machine.store_folder(), chance)
                except Impossible:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.002)
                else:
                    return

    def _kill(self, pid: int) -> bool:
        """Kill a process, if it lives, and unless it would take its counts with it, of which golive says so."""
        killed = not self._counts_alone(pid) and injectors.kill(pid)
        self.world.kills += killed
        return killed

    def _counts_alone(self, pid: int) -> bool:
        return injectors.counts_alone(pid, self.world.machine.spool)


class Lane(NamedTuple):
    """Faults of which one goes on at a time.

    Attributes:
        shortest_s, longest_s: How long it waits before the next.
        faults: What it draws from, each with its weight.
    """

    shortest_s: float
    longest_s: float
    faults: Mapping[str, tuple[int, Fault]]


def lanes(world: World) -> dict[str, Lane]:
    """Return what goes on at once."""
    faults = Faults(world)
    return {
        "kills": Lane(0.4, 1.8, {"kill -9": (1, faults.kill_somebody)}),
        "database": Lane(
            1.0,
            7.0,
            {
                "PostgreSQL stopped": (3, faults.stop_the_database),
                "PostgreSQL killed": (3, faults.kill_the_database),
                "PostgreSQL ended in a COPY": (3, faults.kill_the_database_in_a_copy),
                "no connection left": (1, faults.take_every_connection),
            },
        ),
        "network": Lane(2.0, 10.0, {f"network: {mode}": (1, faults.cut_the_network(mode)) for mode in MODES}),
        "machine": Lane(
            0.5,
            4.0,
            {
                "process stopped": (4, faults.stop_a_process),
                DISK_FULL: (2, faults.fill_the_disk),
                "files limited": (2, faults.limit_files),
                "clock stepped": (3, faults.step_the_clock),
                "spool damaged": (3, faults.damage_a_spool),
                "worker killed": (2, faults.kill_a_worker),
                "service killed": (1, faults.kill_the_service),
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

    def never(self) -> set[str]:
        """Return which faults have not happened yet."""
        return {name for lane in self._lanes.values() for name in lane.faults} - set(self.faults)

    def _run(self, lane: str) -> None:
        shortest_s, longest_s, faults = self._lanes[lane]
        chance = self._chances[lane]
        names, weights = list(faults), [weight for weight, _ in faults.values()]
        try:
            while not self._quiet.wait(chance.uniform(shortest_s, longest_s)):
                [name] = chance.choices(names, weights)
                try:
                    faults[name][1](chance, self._quiet)
                except (Impossible, psycopg.OperationalError):
                    continue  # another fault is in the way
                self.faults[name] += 1
        except Exception:  # a fault that cannot be healed, or a service that does not come back
            self.failed.append(f"{lane}\n{traceback.format_exc()}")
            self._quiet.set()
