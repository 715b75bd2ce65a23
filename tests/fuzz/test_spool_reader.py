"""The spool reader on whatever stands in a dead process's folder: never a crash, no event invented or lost."""

import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive import events
from golive.drain import _parse
from golive.spool import Spool
from golive.spool_folder import SpoolFolder, orphans
from tests.support.fuzzing import fuzzed

LINES = st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=16) | st.dictionaries(st.text(max_size=4), inner, max_size=16),
    max_leaves=20,
)
POSITION = (
    st.binary(max_size=64)
    | st.builds(b"%010d %012d\n".__mod__, st.tuples(st.integers(0, 9), st.integers(0, 3000)))
    | st.just(b"9999999999 999999999999\n")
)


def framed(line: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(line), line)


@contextmanager
def taken_over(segments: list[bytes], position: bytes) -> Iterator[SpoolFolder]:
    """Give the folder of a dead process with these segments and this note of what was delivered."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "dead"
        folder.mkdir()
        (folder / "lock").write_bytes(position)
        for number, content in enumerate(segments, 1):
            (folder / f"{number:010d}.log").write_bytes(content)
        (found,) = orphans(Path(root))
        yield found
        found.remove()


def drained(folder: SpoolFolder, max_lines: int) -> tuple[list[bytes], list[bytes]]:
    """Read everything as the drain does; give the lines that are intact and those that are not."""
    intact, damaged = [], []
    while (batch := folder.read(max_lines)) is not None:
        assert batch.lines or batch.corrupt
        intact += batch.lines
        damaged += batch.corrupt
        folder.acknowledge(batch.end)
    assert folder.pending() == 0
    return intact, damaged


@fuzzed
@given(st.lists(LINES, min_size=1, max_size=4), POSITION, st.integers(1, 50))
def test_a_damaged_note_of_what_was_delivered_loses_no_event(
    segments: list[list[bytes]], position: bytes, max_lines: int
) -> None:
    """Whatever the note says: it may have lines read again, it skips none but up to a place that can be."""
    contents = [b"".join(map(framed, lines)) for lines in segments]
    ends = [{0}.union(i + 1 for i, byte in enumerate(content) if byte == 10) for content in contents]
    try:
        segment, offset = (int(part) for part in position.split())
        plausible = 0 < segment <= len(contents) and offset in ends[segment - 1]
    except ValueError:
        plausible = False
    expected = [line for lines in segments for line in lines]
    with taken_over(contents, position) as folder:
        before = folder.pending()
        intact, damaged = drained(folder, max_lines)
    if plausible:
        delivered = sum(map(len, segments[: segment - 1])) + contents[segment - 1][:offset].count(b"\n")
        assert intact == expected[delivered:]
    else:
        assert intact == expected
    assert before == len(intact)
    assert damaged == []


@fuzzed
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 50))
def test_no_bytes_whatever_crash_the_reader_or_get_lost(segments: list[bytes], max_lines: int) -> None:
    with taken_over(segments, b"") as folder:
        folder.last_lines()
        intact, damaged = drained(folder, max_lines)
    whole = [line for content in segments for line in content.split(b"\n")[:-1]]
    # Of the last file its process may have had no time to finish a line; in one before it that is damage.
    whole += [rest for content in segments[:-1] if (rest := content.rpartition(b"\n")[2])]
    assert len(intact) + len(damaged) == len(whole)
    assert all(framed(line)[:-1] in whole for line in intact), "a line without its checksum passed"


@fuzzed
@given(LINES, st.data())
def test_a_changed_byte_costs_its_own_line_only(lines: list[bytes], data: st.DataObject) -> None:
    content = bytearray(b"".join(map(framed, lines)))
    if not content:
        return
    place = data.draw(st.integers(0, len(content) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    joined = content[place] == 10
    content[place] = changed
    with taken_over([bytes(content)], b"") as folder:
        intact, _ = drained(folder, 7)
    at = bytes(content[:place]).count(b"\n")
    assert intact == lines[:at] + lines[at + (2 if joined else 1) :]


@pytest.mark.parametrize(
    "line", [b"", b"0", b"00000000", b"00000000_", b"0000000  ", b"+0000000 ", b"cbf43926 12345678"]
)
def test_half_a_frame_is_no_line(line: bytes) -> None:
    """Nor what merely reads as the number of the checksum: that of no bytes is 0."""
    with taken_over([line + b"\n"], b"") as folder:
        assert drained(folder, 1) == ([], [line])


@fuzzed
@given(st.text(alphabet="0123456789.~ abcdelog", max_size=14))
def test_files_of_others_in_the_folder_are_left_alone(name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "dead"
        folder.mkdir()
        (folder / "lock").touch()
        (folder / f"{name}.log").write_bytes(b"somebody's notes\n")
        (folder / "0000000001.log").write_bytes(framed(b"[1]"))
        (found,) = orphans(Path(root))
        intact, _ = drained(found, 5)
        found.last_lines()
        found.close()
        assert intact == [b"[1]"]
        assert (folder / f"{name}.log").exists() or name == "0000000001"


@fuzzed
@given(JSON | st.lists(JSON, min_size=14, max_size=14))
def test_json_that_is_no_event_never_becomes_one(found: Any) -> None:
    """Also where its checksum is right: another version wrote it, or a hand."""
    line = json.dumps(found).encode()
    parsed, unreadable = _parse([line])
    assert len(parsed) + len(unreadable) == 1
    for event in parsed:
        assert events.from_json(events.to_json(event)) == event


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_folder_that_another_user_laid_out_is_not_written_to(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(mode)
    Spool(root, 1 << 20).close(remove=True)
    monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="another user"):
        Spool(root, 1 << 20)


def test_a_link_in_the_place_of_a_spool_is_not_followed(tmp_path: Path) -> None:
    other, root = tmp_path / "other", tmp_path / "root"
    other.mkdir()
    root.mkdir()
    (other / "lock").touch()
    (other / "0000000001.log").write_bytes(framed(b"[1]"))
    os.symlink(other, root / "link")
    assert list(orphans(root)) == []


def test_every_event_there_can_be_is_read_as_it_was_written() -> None:
    event = events.KpiEvent(
        (1 << 63) - 1, 1, "D", "m", None, 0.1, None, None, '"x"', "a" * 32, None, False, 1e300, 1
    )
    assert events.from_json(events.to_json(event)) == event
