"""A damaged spool: what is intact is delivered, what is not is counted and kept, and nothing crashes (E4)."""

import random
import threading
import time
import zlib
from pathlib import Path

import pytest

from golive.spool import Spool
from tests.faults import promises
from tests.faults.driving import wait_until_spooled
from tests.faults.machine import Machine

EVENTS = 1_000


@pytest.fixture
def segment(machine: Machine) -> Path:
    """The only segment of a process that died with 1,000 events undelivered."""
    with machine.started("stuck_delivery.py", "before", EVENTS) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until_spooled(machine, EVENTS)
        process.kill()
        process.wait()
    (found,) = machine.store_folder().glob("*/[0-9]*.log")
    return found


def recover(machine: Machine) -> int:
    """Recover, and return how many lines were counted as corrupt."""
    done = machine.run("recover.py", 60)
    said = done.stdout.strip()
    if not said:
        return 0
    assert "damaged lines of the spool" in done.stderr
    prefix, suffix = "discarded {'corrupt': ", "}"
    assert said.startswith(prefix)
    return int(said.removeprefix(prefix).removesuffix(suffix))


def quarantined(machine: Machine) -> list[bytes]:
    file = machine.store_folder() / "quarantine.log"
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def expected(intact: "range | set[int]") -> list[str]:
    return [f"{number:06}" for number in sorted(intact)]


def test_an_undamaged_spool_is_delivered_in_full(machine: Machine, segment: Path) -> None:
    assert recover(machine) == 0
    assert machine.correlation_ids() == expected(range(EVENTS))
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_flipped_bits_cost_their_own_line_only(machine: Machine, segment: Path) -> None:
    lines = segment.read_bytes().split(b"\n")[:-1]
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    damaged = set(chance.sample(range(EVENTS), 50))
    for number in damaged:
        line = bytearray(lines[number])
        while bytes(line) == lines[number] or b"\n" in line:
            line = bytearray(lines[number])
            line[chance.randrange(9, len(line))] ^= 1 << chance.randrange(8)
        lines[number] = bytes(line)
    segment.write_bytes(b"\n".join(lines) + b"\n")
    assert recover(machine) == 50
    assert machine.correlation_ids() == expected(set(range(EVENTS)) - damaged)
    assert sorted(quarantined(machine)) == sorted(lines[number] for number in damaged)
    assert machine.left_behind() == ["quarantine.log"]


def test_lines_of_garbage_are_put_aside(machine: Machine, segment: Path) -> None:
    garbage = [
        b"",
        b"\x00" * 4096,
        b"garbage",
        b"00000001",
        b"zzzzzzzz []",
        b"\xff\xfe\xfd",
        b"a" * 3_000_000,
    ]
    lines = segment.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(garbage):
        lines.insert(number * 140, line)
    segment.write_bytes(b"\n".join(lines) + b"\n")
    assert recover(machine) == len(garbage)
    assert machine.correlation_ids() == expected(range(EVENTS))
    assert sorted(quarantined(machine)) == sorted(garbage)


def test_intact_lines_that_are_no_events_are_put_aside(machine: Machine, segment: Path) -> None:
    foreign = [b"{}", b"[1, 2]", b"null", b'"text"', b"not json", b"[" * 100_000]
    framed = b"".join(b"%08x %b\n" % (zlib.crc32(line), line) for line in foreign)
    segment.write_bytes(framed + segment.read_bytes() + framed)
    assert recover(machine) == 2 * len(foreign)
    assert machine.correlation_ids() == expected(range(EVENTS))
    assert quarantined(machine) == 2 * foreign


@pytest.mark.parametrize("cut", [1, 100])
def test_of_a_truncated_segment_what_is_whole_is_delivered(machine: Machine, segment: Path, cut: int) -> None:
    segment.write_bytes(segment.read_bytes()[:-cut])
    recover(machine)
    assert machine.correlation_ids() == expected(range(EVENTS - 1))


def test_an_empty_segment_is_nothing(machine: Machine, segment: Path) -> None:
    segment.write_bytes(b"")
    assert recover(machine) == 0
    assert machine.rows() == []
    promises.the_spool_is_empty(machine)


@pytest.mark.parametrize(
    "note", [b"", b"garbage", b"9999999999", b"1 2 3", b"\xff" * 30, b"0000000001 -00000000005\n"]
)
def test_a_damaged_note_of_what_is_delivered_means_reading_again(
    machine: Machine, segment: Path, note: bytes
) -> None:
    (segment.parent / "lock").write_bytes(note)
    recover(machine)
    assert machine.correlation_ids() == expected(range(EVENTS))
    promises.the_spool_is_empty(machine)
    promises.counters_equal_rows(machine)


def test_what_was_delivered_before_is_not_there_twice(machine: Machine, segment: Path) -> None:
    copy = machine.store_folder() / "0000000000000000"
    copy.mkdir()
    (copy / "lock").write_bytes((segment.parent / "lock").read_bytes())
    (copy / segment.name).write_bytes(segment.read_bytes())
    recover(machine)
    assert machine.correlation_ids() == expected(range(EVENTS))


def test_spools_that_come_and_go_beside_it_do_not_disturb_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    deadline = time.monotonic() + 1.5

    def come_and_go() -> None:
        while time.monotonic() < deadline:
            Spool(tmp_path, 1 << 20).close(remove=True)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    while time.monotonic() < deadline:
        spool.measure()
    thread.join()
    spool.close(remove=True)
    assert list(tmp_path.iterdir()) == []
