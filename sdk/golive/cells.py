"""The file of a shared account: named records of 16-byte cells, written through memory, read by anybody.

    magic, 8 bytes | used, int64 | record | record | …
    record: length of the key, int32 | number of cells, int32 | key, JSON | padding to 16 | cell | cell | …

A cell is a float64 and an int64, or 16 bytes as they are. It is written by one store of 16 bytes, which
`kill -9` finds done or not done; a record is written whole before `used` includes it. The file is allocated
before it is mapped, for a store into a hole of a full disk would end the process with SIGBUS. Where the file
system copies on write any store may be one, and the file is written by system calls instead.
"""

import ctypes
import errno
import json
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

CELL: Final = struct.Struct("<dq")
CHUNK: Final = 1 << 16
"""The file grows by so many bytes; a record does not cross such a border."""

Key = tuple[str, ...]
"""What a record is about: its kind, then its labels."""

_pack: Final = CELL.pack
_MAGIC: Final = b"golive\x00\x01"
_USED: Final = slice(8, 16)
_HEADER: Final = 16
_RECORD: Final = struct.Struct("<ii")
_INT64: Final = struct.Struct("<q")
_COPY_ON_WRITE: Final = {0x9123683E, 0xCA451A4E, 0x2FC12FC1}
"""What statfs(2) calls btrfs, bcachefs and ZFS."""

# Keeps the interpreter lock, as the spool's `write` does.
_pwrite: Final = ctypes.PyDLL(None).pwrite
_pwrite.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long)
_pwrite.restype = ctypes.c_ssize_t
_fstatfs: Final = ctypes.CDLL(None).fstatfs


class _Written:
    """A part of the file that is written by system calls; what a full disk refuses the next makes up for."""

    def __init__(self, file: int, start: int) -> None:
        self._file, self._start = file, start

    def __setitem__(self, place: slice, raw: bytes) -> None:
        _pwrite(self._file, raw, len(raw), self._start + place.start)

    def close(self) -> None:
        """Nothing to do."""


_Memory = bytearray | mmap.mmap | _Written


class Cell:
    """16 bytes of the file and what they mean: a number with a mark beside it, or neither.

    Attributes:
        value: The number.
        mark: What the record's kind says: a position, or a time.
    """

    __slots__ = ("_memory", "_place", "_raw", "mark", "value")

    def __init__(self) -> None:
        self._memory: _Memory
        self._raw: bytes | None = None
        self.leave()
        self.set(0.0, 0)

    def set(self, value: float, mark: int) -> None:
        """Write both, as one."""
        self.value = value
        self.mark = mark
        self._memory[self._place] = _pack(value, mark)

    def add(self, amount: float, mark: int) -> None:
        """Write a larger number, and a mark; one that a signal handler adds meanwhile counts as well."""
        self.value = value = self.value + amount
        self.mark = mark
        raw = _pack(value, mark)
        if self.value is value:  # else the handler, which came at the call, has written the sum of both
            self._memory[self._place] = raw

    def set_raw(self, raw: bytes) -> None:
        """Write 16 bytes as they are."""
        self._raw = self._memory[self._place] = raw

    @property
    def content(self) -> bytes:
        """What the file has, or will have."""
        return self._raw or _pack(self.value, self.mark)

    def place(self, memory: _Memory, at: int) -> None:
        """Live in the file from now on."""
        self._memory, self._place = memory, slice(at, at + CELL.size)
        self._memory[self._place] = self.content

    def leave(self) -> None:
        """Be written to nowhere from now on."""
        self._memory, self._place = bytearray(CELL.size), slice(0, CELL.size)


class CellFile:
    """A file of records, written by one process.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._chunks: list[mmap.mmap | _Written] = []
        self._used = 0
        try:
            self._mapped = not _copies_on_write(self._file)
            self._grow()
            self._write(_MAGIC + _INT64.pack(_HEADER), 0)
        except OSError:
            os.close(self._file)
            raise
        self._used = _HEADER

    def add(self, key: Key, cells: Sequence[Cell]) -> None:
        """Add a record.

        Raises:
            OSError: The disk is full; nothing was added.
        """
        raw = encode(key, [cell.content for cell in cells])
        if self._used % CHUNK + len(raw) > CHUNK:
            self._used += CHUNK - self._used % CHUNK
        if self._used >= len(self._chunks) * CHUNK:
            self._grow()
        first = self._used % CHUNK + len(raw) - len(cells) * CELL.size
        self._write(raw, self._used)
        self._write(_INT64.pack(self._used + len(raw)), _USED.start)
        self._used += len(raw)
        for number, cell in enumerate(cells):
            cell.place(self._chunks[-1], first + number * CELL.size)

    def close(self) -> None:
        """Let go of the file; cells that lived in it must not be written any more."""
        for chunk in self._chunks:
            chunk.close()
        os.close(self._file)

    def _grow(self) -> None:
        end = len(self._chunks) * CHUNK
        os.posix_fallocate(self._file, end, CHUNK)
        self._chunks.append(
            mmap.mmap(self._file, CHUNK, offset=end) if self._mapped else _Written(self._file, end)
        )

    def _write(self, raw: bytes, at: int) -> None:
        """Write by a system call, which says so where there is no room."""
        if os.pwrite(self._file, raw, at) < len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _copies_on_write(file: int) -> bool:
    found = ctypes.create_string_buffer(256)  # struct statfs has some 120 bytes, the type first
    if _fstatfs(file, found) != 0:
        return False
    kind: int = struct.unpack_from("@L", found)[0]
    return kind & 0xFFFFFFFF in _COPY_ON_WRITE


def encode(key: Key, cells: Sequence[bytes]) -> bytes:
    """Return a record."""
    name = json.dumps(key, separators=(",", ":")).encode()
    padding = -(_RECORD.size + len(name)) % CELL.size
    return _RECORD.pack(len(name), len(cells)) + name + bytes(padding) + b"".join(cells)


def encode_file(records: Mapping[Key, Sequence[bytes]]) -> bytes:
    """Return a whole file with these records."""
    content = bytearray(_HEADER)
    for key, cells in records.items():
        raw = encode(key, cells)
        if len(content) % CHUNK + len(raw) > CHUNK:
            content += bytes(CHUNK - len(content) % CHUNK)
        content += raw
    content[:_HEADER] = _MAGIC + _INT64.pack(len(content))
    return bytes(content)


def decode_file(content: bytes) -> dict[Key, list[bytes]]:
    """Return the records of a file; what is damaged, and all behind it, is left out."""
    records: dict[Key, list[bytes]] = {}
    if content[:8] != _MAGIC or len(content) < _HEADER:
        return records
    used = min(_INT64.unpack(content[_USED])[0], len(content))
    at = _HEADER
    while at + _RECORD.size <= used:
        length, count = _RECORD.unpack_from(content, at)
        if length == 0:  # nothing more fitted into this chunk
            at += CHUNK - at % CHUNK
            continue
        name = at + _RECORD.size
        first = name + length - (name + length) % -CELL.size
        end = first + count * CELL.size
        if length < 0 or count < 0 or end > used:
            break
        try:
            key = tuple(json.loads(content[name : name + length]))
        except ValueError:
            break
        records[key] = [content[place : place + CELL.size] for place in range(first, end, CELL.size)]
        at = end
    return records
