"""Programs of `tests/support/programs` as a test drives them: asked, waited for, left to live and to be killed."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from subprocess import Popen

from tests.faults import promises
from tests.faults.machine import Machine
from tests.support.service import wait_until


def ask(process: "Popen[str]", question: str) -> str:
    """Ask `outage.py`, and return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def flush(process: "Popen[str]", timeout_s: float) -> tuple[bool, float]:
    """Have `outage.py` flush; return the answer, and how many seconds it took."""
    answer, took = ask(process, f"flush {timeout_s}").split()
    return answer == "True", float(took)


def wait_until_spooled(machine: Machine, events: int) -> None:
    """Wait until so many events are in the machine's spools."""

    def spooled() -> int:
        segments = machine.store_folder().glob("*/[0-9]*.log")
        return sum(segment.read_bytes().count(b"\n") for segment in segments)

    wait_until(lambda: spooled() >= events, 30)


@contextmanager
def lives(machine: Machine, count: int, lanes: int = 2) -> Iterator[list["Popen[str]"]]:
    """Have so many children emit and be killed at random moments, some of them at once; give the programs that
    see to it (`lives.py`), and wait for those at the end."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    machine.acknowledged.mkdir()
    with ExitStack() as running:
        programs = [
            running.enter_context(
                machine.started("lives.py", machine.acknowledged, count // lanes, f"{seed}-{lane}")
            )
            for lane in range(lanes)
        ]
        yield programs
        for program in programs:
            _, errors = program.communicate(timeout=600)
            assert program.returncode == 0, errors


def live_and_die(machine: Machine, count: int) -> None:
    """Have so many children live and be killed, with no fault beside."""
    with lives(machine, count):
        pass


def live_through_outages(
    machine: Machine, count: int, away: Callable[[], None], back: Callable[[], None]
) -> None:
    """Have so many children live and be killed, while their store goes `away` and comes `back` at random moments."""
    outages = 0
    with lives(machine, count) as programs:
        while any(program.poll() is None for program in programs):
            time.sleep(random.uniform(0.1, 0.6))
            away()
            time.sleep(random.uniform(0.1, 0.6))
            back()
            outages += 1
    print(outages, "outages")
    assert outages >= 2


def what_lives_were_told_is_there_once(machine: Machine) -> None:
    """Check the promises to the children of `lives`, once what they left is delivered."""
    rows, files = machine.rows(), list(machine.acknowledged.iterdir())
    told: dict[str, str] = {}
    for file in files:
        *whole, _ = file.read_text().split("\n")  # a kill may cut the last one short, at the end of a page
        for line in whole:
            correlation_id, _, event_id = line.partition(" ")
            told[correlation_id] = event_id
    print(f"{len(files)} lives, {len(told)} acknowledged, {len(rows)} rows")
    promises.no_event_is_there_twice(rows)
    promises.every_acknowledged_event_is_a_row(rows, told)
    # A child may have died between the call's return and its own note of it.
    promises.only_what_was_done_is_there(rows, told, len(files))
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)
