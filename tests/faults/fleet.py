"""A fleet of programs under chaos: started, asked to end, and what was acknowledged to them."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.faults.machine import Machine
from tests.faults.promises import Act, Booking

ROLES = {"emit": 2, "deal": 1, "book": 2, "send": 1, "operate": 1, "fall": 1}


@dataclass
class Told:
    """What the lives of a fleet were told; see `tests/support/programs/fleet.py` for who writes it."""

    lives: int = 0
    events: dict[str, str] = field(default_factory=dict)
    """The id of each event (empty where none was returned) by its correlation id."""
    failures: dict[str, str] = field(default_factory=dict)
    """The same, of those in deals."""
    sent: set[str] = field(default_factory=set)
    deals: set[str] = field(default_factory=set)
    called_off: set[str] = field(default_factory=set)
    bookings: dict[int, Booking] = field(default_factory=dict)
    booked_at: list[tuple[float, float]] = field(default_factory=list)
    """When each booking was begun, and when the gate had let it through."""
    acts: list[tuple[float, Act]] = field(default_factory=list)
    answered: dict[str, float] = field(default_factory=dict)
    """When the call of an act returned, by its reason."""
    out_of_order: list[str] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How many events."""
        return len(self.events) + len(self.failures) + len(self.sent) + 2 * len(self.deals)

    def read(self, folder: Path) -> None:
        """Take in the files of lives that have ended, and remove them."""
        parts: dict[str, list[Path]] = defaultdict(list)
        for file in sorted(folder.iterdir()):
            parts[file.stem].append(file)
        for life in sorted(parts, key=lambda name: int(name.partition("-")[2])):
            ids: list[int] = []
            *whole, _ = "".join(file.read_text() for file in parts[life]).split("\n")  # a kill may cut a line
            for line in whole:
                kind, *words = json.loads(line)
                getattr(self, f"_{kind.replace(' ', '_')}")(*words)
                if kind in ("event", "failure") and words[1]:
                    ids.append(int(words[1]))
            if ids != sorted(set(ids)):
                self.out_of_order.append(life)
            self.lives += 1
            for file in parts[life]:
                file.unlink()

    def history(self) -> list[Act]:
        """Return the acts in the order they were begun in."""
        return [
            act._replace(acknowledged=act.reason in self.answered)
            for _, act in sorted(self.acts, key=lambda found: found[0])
        ]

    def engaged(self) -> Iterator[tuple[float, float]]:
        """Yield from when to when nobody may have booked."""
        since: float | None = None
        for begun, act in sorted(self.acts, key=lambda found: found[0]):
            if act.action == "kill_switch.engage" and act.reason in self.answered and since is None:
                since = self.answered[act.reason]
            if act.action == "kill_switch.release" and since is not None:
                yield since, begun
                since = None
        if since is not None:
            yield since, float("inf")

    def _event(self, correlation_id: str, event_id: int | None) -> None:
        self.events[correlation_id] = str(event_id or "")

    def _failure(self, correlation_id: str, event_id: int) -> None:
        self.failures[correlation_id] = str(event_id)

    def _sent(self, *correlation_ids: str) -> None:
        self.sent.update(correlation_ids)

    def _deal(self, name: str) -> None:
        self.deals.add(name)

    def _called_off(self, name: str) -> None:
        self.called_off.add(name)

    def _booked(self, number: int, engine: str, amount: str, key: str, begun: float, decided: float) -> None:
        self.bookings[number] = Booking(number, engine, Decimal(amount), key)
        self.booked_at.append((begun, decided))

    def _closing(self, number: int) -> None:
        self._change(number, in_doubt=True)

    def _released(self, number: int) -> None:
        self._change(number, status="released", in_doubt=False)

    def _settled(self, number: int, loss: str) -> None:
        self._change(number, status="settled", loss=Decimal(loss), in_doubt=False)

    def _change(self, number: int, **changes: Any) -> None:
        self.bookings[number] = self.bookings[number]._replace(**changes)

    def _begun(self, action: str, reason: str, at: float) -> None:
        self.acts.append((at, Act(action, reason, acknowledged=False)))

    def _done(self, _action: str, reason: str, at: float) -> None:
        self.answered[reason] = at


class Fleet:
    """The programs of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.folder = machine.folder
        self.told = Told()

    def living(self, *roles: str) -> list[int]:
        """Return the processes that live now, of some roles or of all."""
        found = []
        for file in (self.folder / "living").iterdir():
            try:
                if not roles or file.read_text() in roles:
                    found.append(int(file.name))
            except FileNotFoundError:
                continue
        return sorted(found)

    def pause(self, timeout_s: float) -> None:
        """Ask everybody to end, wait until they have, and take in what they were told."""
        (self.folder / "paused").touch()
        deadline = time.monotonic() + timeout_s
        while not (self.folder / "quiet").exists():
            assert time.monotonic() < deadline, f"{self.living()} do not end at SIGTERM"
            time.sleep(0.05)
        crashed = self.folder / "crashed"
        assert not crashed.exists(), f"golive raised what it should not:\n{crashed.read_text()}"
        self.told.read(self.folder / "told")

    def go_on(self) -> None:
        """Let the next lives begin."""
        (self.folder / "paused").unlink()
        deadline = time.monotonic() + 30
        while (self.folder / "quiet").exists():
            assert time.monotonic() < deadline, "the fleet does not go on"
            time.sleep(0.05)


@contextmanager
def running(
    machine: Machine, seed: int, roles: Mapping[str, int] = ROLES, **environment: str
) -> Iterator[Fleet]:
    """Run a fleet on a machine, so many of each role."""
    for name in ("told", "living"):
        (machine.folder / name).mkdir()
    words = [f"{role}={count}" for role, count in roles.items()]
    command = ("fleet.py", machine.folder, seed, machine.database_url, *words)
    log = (machine.folder / "fleet.log").open("w")
    with log, machine.started(*command, output=log, **environment) as nursery:
        yield Fleet(machine)
        assert nursery.stdin is not None
        nursery.stdin.close()
        nursery.wait(30)
