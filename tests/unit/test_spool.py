import fcntl
import os
from pathlib import Path

import pytest

from golive.spool import Closed, NoRoom, Spool
from golive.spool_folder import Position, SpoolFolder, orphans


def lines(folder: SpoolFolder, max_lines: int = 1000) -> list[bytes]:
    """Read and acknowledge everything."""
    read: list[bytes] = []
    while (batch := folder.read(max_lines)) is not None:
        read += batch.lines
        folder.acknowledge(batch.end)
    return read


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    expected = [b'["%d"]' % number for number in range(5_000)]
    for line in expected:
        spool.append(line)
    assert spool.folder.pending() == 5_000
    assert lines(spool.folder, 77) == expected
    assert spool.folder.pending() == 0
    spool.close(remove=True)
    assert list(tmp_path.iterdir()) == []


def test_segments_delivered_in_full_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 10)
    for _ in range(500):
        spool.append(b"x" * 50)
    assert len(spool.folder.segments()) > 3
    lines(spool.folder)
    assert len(spool.folder.segments()) == 1
    spool.close(remove=False)


def test_the_bound_holds_and_room_comes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 16 << 10)
    accepted = 0
    with pytest.raises(NoRoom) as refused:
        while True:
            spool.append(b"x" * 100)
            accepted += 1
    assert not refused.value.disk
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.log")) <= 16 << 10
    assert len(lines(spool.folder)) == accepted
    spool.measure()
    spool.append(b"x" * 100)
    spool.close(remove=False)


def test_spools_of_one_store_share_the_bound(tmp_path: Path) -> None:
    one, two = Spool(tmp_path, 32 << 10), Spool(tmp_path, 32 << 10)
    with pytest.raises(NoRoom):
        while True:
            one.append(b"x" * 100)
    two.measure()
    with pytest.raises(NoRoom):
        two.append(b"x" * 100)
    one.close(remove=False)
    two.close(remove=False)


def test_a_living_process_is_not_taken_over_and_a_dead_one_is(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"[1]")
    assert list(orphans(tmp_path)) == []
    spool.close(remove=False)
    (orphan,) = orphans(tmp_path)
    assert lines(orphan) == [b"[1]"]
    orphan.remove()
    assert list(orphans(tmp_path)) == []


def test_a_takeover_goes_on_where_the_dead_process_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for number in range(10):
        spool.append(b"%d" % number)
    batch = spool.folder.read(4)
    assert batch is not None
    spool.folder.acknowledge(batch.end)
    spool.close(remove=False)
    (orphan,) = orphans(tmp_path)
    assert lines(orphan) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    orphan.close()


def test_a_torn_last_line_is_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"[1]")
    segment = next(tmp_path.rglob("*.log"))
    with segment.open("ab") as file:
        file.write(b"0000")
    spool.close(remove=False)
    (orphan,) = orphans(tmp_path)
    assert orphan.pending() == 1
    assert lines(orphan) == [b"[1]"]
    orphan.close()


def test_a_damaged_line_is_told_apart_from_intact_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for number in range(3):
        spool.append(b'["event %d"]' % number)
    segment = next(tmp_path.rglob("*.log"))
    segment.write_bytes(segment.read_bytes().replace(b"event 1", b"evemt 1"))
    batch = spool.folder.read(10)
    assert batch is not None
    assert batch.lines == [b'["event 0"]', b'["event 2"]']
    assert len(batch.corrupt) == 1
    spool.close(remove=False)


def test_a_damaged_position_means_reading_again_not_losing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"[1]")
    os.pwrite(os.open(next(tmp_path.rglob("lock")), os.O_RDWR), b"garbage in here", 0)
    spool.close(remove=False)
    (orphan,) = orphans(tmp_path)
    assert orphan.position == Position(0, 0)
    assert lines(orphan) == [b"[1]"]
    orphan.close()


def test_a_line_longer_than_a_read_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 20)
    long = b"x" * (3 << 20)
    spool.append(long)
    spool.append(b"[2]")
    assert lines(spool.folder) == [long, b"[2]"]
    spool.close(remove=False)


def test_a_closed_spool_refuses_and_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.close(remove=True)
    with pytest.raises(Closed):
        spool.append(b"[1]")


def test_spools_are_private_to_their_owner(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "root", 1 << 20)
    spool.append(b"[1]")
    for path in (tmp_path / "root").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    spool.close(remove=False)


def test_the_lock_outlives_a_descriptor_inherited_and_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    lock = os.open(next(tmp_path.rglob("lock")), os.O_RDWR)
    os.close(lock)
    with pytest.raises(BlockingIOError):
        fcntl.flock(os.open(next(tmp_path.rglob("lock")), os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    spool.close(remove=False)


def test_a_folder_let_go_of_is_changed_no_more_and_no_file_that_has_its_descriptor(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 1 << 20)
    spool.append(b"[1]")
    spool.close(remove=False)
    business = [(tmp_path / f"business_{number}").open("w+b", buffering=0) for number in range(4)]
    for file in business:
        file.write(b"a contract of the business's")
    # A delivery that hung over the shutdown comes to its end.
    spool.folder.acknowledge(Position(2, 0))
    spool.folder.remove()
    spool.folder.close()
    for file in business:
        file.seek(0)
        assert file.read() == b"a contract of the business's"
        file.close()
    (orphan,) = orphans(tmp_path / "spool")
    assert lines(orphan) == [b"[1]"]
    orphan.remove()


def test_what_cannot_be_kept_in_the_quarantine_is_logged_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, 1 << 20)
    (tmp_path / "quarantine.log").mkdir()
    spool.folder.quarantine(b"damaged")
    assert "damaged" in caplog.text
    spool.close(remove=True)


def test_a_neighbour_that_cannot_be_looked_into_stops_no_spool(tmp_path: Path) -> None:
    # As another user's folder, for root as well.
    (tmp_path / "loop").symlink_to("loop")
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"[1]")
    spool.measure()
    assert list(orphans(tmp_path)) == []
    assert lines(spool.folder) == [b"[1]"]
    spool.close(remove=True)
