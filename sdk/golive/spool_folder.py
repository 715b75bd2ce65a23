"""A process's folder in the spool: its format, its lock, and how it is read (E4).

    <spool_dir>/<store key>/          one folder per store, so that no event reaches another one's database
        <random>/                     one folder per process
            lock                      held by flock(2) while its process lives; holds the position reached
            0000000001.log …          segments: "<crc32> <json>\n", appended with one write(2) each
            account                   what the process counted: `golive.shared_account`

A folder whose lock can be had belonged to a dead process: whoever has the lock delivers its events.
"""

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger(__name__)

_LOCK = "lock"
_QUARANTINE = "quarantine.log"
_READ_BYTES = 1 << 20
_SEGMENTS = "[0-9]" * 10 + ".log"
"""Which files of a folder are segments; others are somebody's copies and notes."""


class Position(NamedTuple):
    """A place in a process's spool: up to there everything has been delivered."""

    segment: int
    offset: int


class Batch(NamedTuple):
    """Lines read from a spool: those intact, those that are not, and the position behind them."""

    lines: list[bytes]
    corrupt: list[bytes]
    end: Position


class SpoolFolder:
    """The reading side of one process's folder; its lock is held as long as this object is open.

    Used by one thread, the one that delivers; another one may close it. Once closed it changes nothing: the
    folder is somebody else's, and so may be the number of the lock's descriptor.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._closing = threading.Lock()
        noted = _read_position(lock)
        # A damaged note must not pass over events; to read some again is safe, ids make it idempotent.
        self.position = noted if _ends_a_line(path, noted) else Position(0, 0)

    def pending(self) -> int:
        """Count the lines not yet delivered, by reading them all; those that cannot be read are left out."""
        count = 0
        for number in self.segments():
            with contextlib.suppress(OSError), segment_path(self.path, number).open("rb") as file:
                file.seek(self.position.offset if number == self.position.segment else 0)
                while chunk := file.read(_READ_BYTES):
                    count += chunk.count(b"\n")
        return count

    def segments(self) -> list[int]:
        """Return the numbers of the segments not yet delivered in full, in order."""
        numbers = sorted(int(file.stem) for file in self.path.glob(_SEGMENTS))
        return [number for number in numbers if number >= self.position.segment]

    def read(self, max_lines: int) -> Batch | None:
        """Return the next lines, at most `max_lines`; None if there is nothing more to read now.

        Raises:
            OSError: They cannot be read.
        """
        numbers = self.segments()
        for number in numbers:
            start = self.position.offset if number == self.position.segment else 0
            batch = _read_lines(segment_path(self.path, number), number, start, max_lines)
            if batch is not None:
                return batch
            if number != numbers[-1]:  # sealed and delivered: its room may be what the next line needs
                if torn := _rest(segment_path(self.path, number), start):
                    return Batch([], [torn], Position(number + 1, 0))
                self.acknowledge(Position(number + 1, 0))
        return None

    def acknowledge(self, position: Position) -> None:
        """Record that everything before `position` is delivered; remove the segments before it."""
        with self._closing:
            if self._lock < 0:
                return
            for number in self.segments():
                if number < position.segment:
                    segment_path(self.path, number).unlink(missing_ok=True)
            self.position = position
            # On a full disk the note may fail: a successor then reads again, and ids make that idempotent.
            with contextlib.suppress(OSError):
                os.pwrite(self._lock, b"%010d %012d\n" % position, 0)

    def last_lines(self) -> list[tuple[int, bytes]]:
        """Return the lines of the last segment, delivered ones too, each with where it ends (`Spool.end`)."""
        numbers = [int(file.stem) for file in self.path.glob(_SEGMENTS)]
        if not numbers:
            return []
        *lines, _torn = segment_path(self.path, max(numbers)).read_bytes().split(b"\n")
        ends = accumulate(len(line) + 1 for line in lines)
        return [
            (place(max(numbers), end), content)
            for end, line in zip(ends, lines, strict=True)
            if (content := _unframed(line)) is not None
        ]

    def quarantine(self, raw: bytes) -> None:
        """Keep what could not be delivered beside the spools, for a person to look at; else in the log."""
        path = self.path.parent / _QUARANTINE
        try:
            with path.open("ab") as file:
                file.write(raw + b"\n")
        except OSError as error:  # all behind it would wait, on a full disk for the room that they take up
            _log.error("%s cannot be written (%s); it lacks: %r", path, error.strerror, raw)

    def remove(self) -> None:
        """Delete the folder, all of it delivered, and let go of the lock."""
        # Hidden first: one killed half way through leaves nothing that counts, and others clear it away.
        with self._closing, contextlib.suppress(OSError):
            if self._lock < 0:
                return
            hidden = self.path.rename(self.path.with_name(f".{self.path.name}"))
            shutil.rmtree(hidden, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock and leave the folder to the next process."""
        with self._closing:
            lock, self._lock = self._lock, -1
            if lock >= 0:
                os.close(lock)

    def abandon_in_child(self) -> None:
        """Let go of the parent's lock after a fork, in which another thread may have been at work here."""
        self._closing = threading.Lock()
        self.close()


def orphans(root: Path) -> Iterator[SpoolFolder]:
    """Yield the spools under `root` whose process is dead, each with its lock taken over."""
    for path in sorted(root.iterdir(), key=_age_order):
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.startswith("."):
            _remove_if_stale(path)
            continue
        lock = _try_lock(path / _LOCK)
        if lock is not None:
            yield SpoolFolder(path, lock)


def create(root: Path, name: str) -> SpoolFolder:
    """Make a process's folder, locked, and `root` if it is missing.

    Raises:
        OSError: It cannot be made, or `root` is another user's and open to others.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.stat()
    if found.st_uid != os.geteuid() and found.st_mode & 0o022:
        # Its name can be known: where many may write, another user may have been first.
        raise PermissionError(errno.EPERM, "it is another user's, and open to others", str(root))
    # Locked before it has its name: nobody can take it for a dead process's.
    hidden = root / f".{name}"
    hidden.mkdir(mode=0o700)
    lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = hidden.rename(root / name)
    return SpoolFolder(path, lock)


def framed(line: bytes) -> bytes:
    """Return a line as it stands in a segment, behind its checksum."""
    return b"%08x %b\n" % (zlib.crc32(line), line)


def _unframed(line: bytes) -> bytes | None:
    """Return what a line of a segment holds; None if it is damaged."""
    content = line[9:]
    return content if line[:9] == b"%08x " % zlib.crc32(content) else None


def place(segment: int, offset: int) -> int:
    """Return a position as one number, which grows with each event."""
    return segment << 32 | offset


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of a segment."""
    return folder / f"{number:010d}.log"


def bytes_on_disk(root: Path) -> int:
    """Return how many bytes the segments of all spools under `root` take."""
    return sum(_size(file) for folder in root.iterdir() for file in _segments_in(folder))


def _try_lock(path: Path) -> int | None:
    try:
        lock = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _read_lines(path: Path, number: int, start: int, max_lines: int) -> Batch | None:
    """Read complete lines from `start`; a torn last line was never acknowledged and is left alone."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(_READ_BYTES)
            while data and b"\n" not in data and (more := file.read(_READ_BYTES)):
                data += more
    except FileNotFoundError:
        return None
    raw_lines = data.split(b"\n", max_lines)[:-1]
    if not raw_lines:
        return None
    lines = [content for line in raw_lines if (content := _unframed(line)) is not None]
    corrupt = [] if len(lines) == len(raw_lines) else [line for line in raw_lines if _unframed(line) is None]
    end = start + sum(len(line) + 1 for line in raw_lines)
    return Batch(lines, corrupt, Position(number, end))


def _rest(path: Path, start: int) -> bytes:
    """Return what is behind the last complete line of a segment: of a sealed one, damage."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""


def _read_position(lock: int) -> Position:
    try:
        segment, offset = os.pread(lock, 64, 0).split()
        return Position(max(int(segment), 0), max(int(offset), 0))
    except ValueError:  # new, or torn
        return Position(0, 0)


def _ends_a_line(folder: Path, position: Position) -> bool:
    """Return whether a line of the spool ends at this place, or a segment that is there begins."""
    try:
        with segment_path(folder, position.segment).open("rb") as file:
            if position.offset:
                file.seek(position.offset - 1)
                return file.read(1) == b"\n"
            return True
    except (OSError, OverflowError):
        return False


def _segments_in(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.suffix == ".log"]
    except OSError:  # delivered and removed meanwhile; a file; another user's
        return []


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _age_order(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _remove_if_stale(path: Path) -> None:
    if time.time() - _age_order(path) <= 60:
        return
    lock = _try_lock(path / _LOCK)
    if lock is None and (path / _LOCK).exists():
        return  # its process lives: the clock was set, or it was stopped in the middle
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)
