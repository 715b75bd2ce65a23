"""What a file system can do to a spool beside losing bytes: nothing of it holds up the events of others (E4)."""

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from golive import database, pipeline, succession
from golive.account import Account
from golive.events import KpiEvent, to_json
from golive.kpi import kpi_success
from golive.shared_account import SharedAccount
from golive.spool import Spool
from golive.spool_folder import SpoolFolder, orphans
from tests.faults import promises
from tests.faults.machine import Machine
from tests.support.service import wait_until

LEFT = 20
"""So many events a dead process left in each of two segments."""


def event(number: int) -> KpiEvent:
    return KpiEvent(
        number, 7, "DEAD", "left", True, None, None, f"left-{number}", None, None, None, False, None, number
    )


@pytest.fixture
def dead(machine: Machine, account: Account) -> Path:
    """The folder of a dead process's spool: two segments, and nothing of them is delivered."""
    database.upgrade(database.normalise_url(machine.database_url))
    spool = Spool(machine.store_folder(), 1 << 20)
    for segment in (0, 1):
        for number in range(LEFT):
            spool.append(to_json(event(segment * LEFT + number + 1)))
        spool._rotate()
    folder = spool.folder.path
    spool.close(remove=False)
    return folder


def segment(folder: Path, number: int) -> Path:
    return folder / f"{number:010d}.log"


def directory(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def unreadable(file: Path) -> None:
    """Have the file be one whose reading is an input/output error, as on a broken disk."""
    file.unlink()
    file.symlink_to("/proc/self/mem")


@pytest.fixture
def running(machine: Machine, dead: Path) -> Iterator[Machine]:
    yield machine
    pipeline.shutdown()


@pytest.mark.parametrize("damage", [directory, unreadable])
@pytest.mark.parametrize("number", [1, 2])
def test_a_dead_process_whose_spool_cannot_be_read_holds_up_nobody(
    running: Machine,
    dead: Path,
    damage: Callable[[Path], None],
    number: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(segment(dead, number))
    pipeline.configure(running.database_url, spool_dir=running.spool)
    told = {str(n): str(kpi_success(None, "LIVE", "made", correlation_id=str(n))) for n in range(10)}
    assert not pipeline.flush(5)  # what cannot be read is left
    rows = running.rows()
    promises.every_acknowledged_event_is_a_row(rows, told)
    assert len(rows) == 10 + (LEFT if number == 2 else 0)
    assert "cannot be read" in caplog.text
    assert dead.exists()  # for a person to look at


@pytest.mark.parametrize("name", ["lock", "account", "quarantine.log"])
def test_a_directory_where_a_file_should_be_holds_up_nobody(running: Machine, dead: Path, name: str) -> None:
    directory(dead.parent / name if name == "quarantine.log" else dead / name)
    pipeline.configure(running.database_url, spool_dir=running.spool)
    kpi_success(None, "LIVE", "made")
    assert pipeline.flush(5) == (name != "account")  # whose counts are left
    assert len(running.rows()) == 1 + (0 if name == "lock" else 2 * LEFT)


def test_a_line_that_lost_its_end_is_counted_once_and_nothing_waits_for_it(
    running: Machine, dead: Path
) -> None:
    for number in (1, 2):
        file = segment(dead, number)
        file.write_bytes(file.read_bytes()[:-1])
    pipeline.configure(running.database_url, spool_dir=running.spool)
    assert pipeline.flush(5)
    assert len(running.rows()) == 2 * (LEFT - 1)
    assert pipeline.account().discarded == {"corrupt": 2}
    assert len((dead.parent / "quarantine.log").read_bytes().splitlines()) == 2
    assert not dead.exists()


@pytest.mark.parametrize("damage", [b"lost its end", b"is two"])
def test_a_running_process_waits_for_no_line_that_is_none_any_more(
    running: Machine, dead: Path, damage: bytes
) -> None:
    pipeline.configure(running.database_url, spool_dir=running.spool)
    assert pipeline.flush(5)
    current = pipeline.current()
    assert current is not None
    with current.drain.quiescent:
        for number in range(4):
            kpi_success(None, "LIVE", "made", correlation_id=str(number))
        file = max(current._spool.folder.path.glob("*.log"))
        lines = file.read_bytes().splitlines(keepends=True)
        lines[1] = lines[1][:-1] + (b"!" if damage == b"lost its end" else b"\n!\n")
        with file.open("r+b") as opened:
            opened.write(b"".join(lines))
    assert pipeline.flush(5)
    assert pipeline.backlog() == (0, 0.0)
    live = [row.correlation_id for row in running.rows() if row.domain == "LIVE"]
    assert live == (["0", "3"] if damage == b"lost its end" else ["0", "1", "2", "3"])
    assert set(pipeline.account().discarded) == {"corrupt"}


def test_events_whose_folder_vanishes_while_it_is_read_are_delivered_and_not_discarded(
    running: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.configure(running.database_url, spool_dir=running.spool)
    assert pipeline.flush(5)
    current = pipeline.current()
    assert current is not None
    read, vanished = SpoolFolder.read, iter([True])

    def vanish_and_read(folder: SpoolFolder, max_lines: int) -> Any:
        if folder is current._spool.folder and folder.segments() and next(vanished, False):
            shutil.rmtree(folder.path)
        return read(folder, max_lines)

    with current.drain.quiescent:
        for _ in range(3):
            kpi_success(None, "LIVE", "made")
        monkeypatch.setattr(SpoolFolder, "read", vanish_and_read)
    wait_until(lambda: pipeline.flush(1))
    assert [row.metric for row in running.rows() if row.domain == "LIVE"] == ["made"] * 3
    assert pipeline.account().discarded == {}


def test_what_a_killed_process_had_not_counted_is_counted_once_the_disk_has_room_for_it(
    machine: Machine, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(database.normalise_url(machine.database_url))
    spool = Spool(machine.store_folder(), 1 << 20)
    shared = SharedAccount(Account(), spool.folder.path)
    for number in range(LEFT):
        position = spool.append(to_json(event(number + 1)))
        if number < LEFT - 1:  # killed before it counted the last
            with shared.lock:
                shared.count(event(number + 1), position)
    shared.close()
    spool.close(remove=False)
    replace, failures = succession._replace, iter([True, True])

    def replace_later(*arguments: Any) -> None:
        if next(failures, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*arguments)

    monkeypatch.setattr(succession, "_replace", replace_later)
    monkeypatch.setattr("golive.orphans.LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("golive.orphans.SETTLE_S", 0.05)
    pipeline.configure(machine.database_url, spool_dir=machine.spool)
    wait_until(lambda: pipeline.flush(0.2))
    assert len(machine.rows()) == LEFT
    promises.counters_equal_rows(machine)
    pipeline.shutdown()


def test_a_folder_being_made_by_a_process_that_was_stopped_is_not_cleared_away(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    hidden = spool.folder.path.rename(tmp_path / f".{spool.folder.path.name}")
    with pytest.MonkeyPatch.context() as later:
        later.setattr("time.time", lambda: hidden.stat().st_ctime + 3600)
        assert list(orphans(tmp_path)) == []
        assert hidden.exists()
        spool.close(remove=False)
        assert list(orphans(tmp_path)) == []
    assert not hidden.exists()
