"""The spool: where an acknowledged event waits on disk until the store has it (E4).

A write(2) that returned is in the page cache and survives `kill -9` of the process; a power failure may take
the last seconds with it. `golive.spool_folder` says what stands in its folder, and reads it.
"""

import ctypes
import os
import secrets
import threading
import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from golive.spool_folder import bytes_on_disk, create, framed, place, segment_path

_MAX_SEGMENT_BYTES = 4 << 20
_MIN_SEGMENT_BYTES = 4 << 10
_NEW_SEGMENT = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
"""How one is made; not `O_EXCL`, for a signal handler may come between its making and its use."""


# write(2) that keeps the interpreter lock, which `os.write` lets go: a write to the page cache takes about a
# microsecond, and a thread that is busy in Python would take the lock for its 5 ms at every event.
_write = ctypes.PyDLL(None, use_errno=True).write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t


class NoRoom(Exception):
    """The event does not fit: the spools of this store have reached their bound, or the disk is full."""

    def __init__(self, reason: str, *, disk: bool) -> None:
        self.disk = disk
        super().__init__(reason)


class Closed(Exception):
    """The spool was closed by a shutdown; the next pipeline has another."""


class Spool:
    """The spool of this process. `append` may be called from any thread; the rest by the delivering thread.

    Args:
        root: The folder of all spools of this store; made if missing, readable by its owner only.
        max_bytes: Bound on the disk all spools under `root` take together.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self.appended = 0
        self._segment_bytes = min(max(max_bytes // 16, _MIN_SEGMENT_BYTES), _MAX_SEGMENT_BYTES)
        self._sealed_bytes = 0
        self._size = 0
        self._number = 0
        self._file = -1
        # Reentrant: a signal handler or a finalizer may record while its thread is recording.
        self._mutex = threading.RLock()
        self.folder = create(root, secrets.token_hex(8))
        try:
            self._rotate()
        except OSError:
            self.folder.close()
            raise

    def append(self, line: bytes) -> int:
        """Write one event, durable against the death of this process when it returns.

        Returns:
            Where it ends: a number that grows with each event.

        Raises:
            NoRoom: The spool or the disk is full; nothing was written.
            Closed: `close` was called before.
        """
        whole = b"%08x %b\n" % (zlib.crc32(line), line)  # `framed`: its call would be 1 % of all this takes
        with self._mutex:
            self._write(whole, 1)
            return self._number << 32 | self._size

    def append_all(self, lines: Sequence[bytes]) -> list[int]:
        """Write several events, all or none of them; return where each ends. Raises as `append` does."""
        each = [framed(line) for line in lines]
        whole = b"".join(each)
        with self._mutex:
            self._write(whole, len(each))
            start = self._size - len(whole)
            ends = accumulate(len(line) for line in each)
            return [place(self._number, start + end) for end in ends]

    @property
    def end(self) -> int:
        """Where the last event ends."""
        return place(self._number, self._size)

    def measure(self) -> None:
        """Take into account what the other spools of this store take on the disk, and what was delivered."""
        with self._mutex:
            self._sealed_bytes = max(bytes_on_disk(self.root) - self._size, 0)

    def restore(self, delivered: int) -> int:
        """Make the folder anew after somebody removed it, with what its last segment still held.

        Args:
            delivered: How many of the events appended so far have been delivered.

        Returns:
            How many went with the folder.

        Raises:
            OSError: The folder cannot be made.
        """
        with self._mutex:
            offset = self.folder.position.offset if self.folder.position.segment == self._number else 0
            kept = os.pread(self._file, self._size - offset, offset)
            removed, self.folder = self.folder, create(self.root, secrets.token_hex(8))
            removed.close()
            self._number = 0
            self._rotate()
            self._size = os.write(self._file, kept)
            return self.appended - delivered - kept.count(b"\n")

    def close(self, *, remove: bool) -> None:
        """Close the spool; remove its folder (everything is delivered), or leave it to the next process."""
        with self._mutex:
            os.close(self._file)
            self._file = -1
            if remove:
                self.folder.remove()
            else:
                self.folder.close()

    def abandon_in_child(self) -> None:
        """Let go of the parent's files after a fork, so that its lock ends with the parent."""
        file, self._file = self._file, -1
        os.close(file)
        self.folder.abandon_in_child()

    def _write(self, whole: bytes, lines: int) -> None:
        if self._file < 0:
            raise Closed
        length = len(whole)
        if self._size and self._size + length > self._segment_bytes:
            self._seal()
        if self._sealed_bytes + self._size + length > self.max_bytes:
            raise NoRoom(f"the spool has reached its bound of {self.max_bytes} bytes", disk=False)
        self._size += length  # before, for a signal handler may write right after
        written = _write(self._file, whole, length)
        if written != length:
            self._size -= length
            reason = os.strerror(ctypes.get_errno()) if written < 0 else "the disk is full"
            os.ftruncate(self._file, self._size)
            if self._size:
                self._seal()  # for a segment gives its room back only when another one follows
            raise NoRoom(f"the spool cannot be written: {reason}", disk=True)
        self.appended += lines

    def _seal(self) -> None:
        try:
            self._rotate()
        except OSError as error:
            raise NoRoom(f"no new segment could be made: {error.strerror}", disk=True) from error

    def _rotate(self) -> None:
        number = self._number + 1
        file = os.open(segment_path(self.folder.path, number), _NEW_SEGMENT, 0o600)
        if number <= self._number:  # a signal handler has been here meanwhile
            os.close(file)
            return
        sealed, self._file, self._number, self._size = self._file, file, number, 0
        if sealed >= 0:
            os.close(sealed)
        self.measure()
