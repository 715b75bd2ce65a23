"""A clock that a test sets: what a process takes for the time of day is off by what a file says.

    clock = ClockFile(path); clock.set(3600.0)       # the test: an hour ahead, from now on
    skew.install(path)                               # the program, before it uses golive

Intervals (`time.monotonic`) stay as they are, as with a real clock that is set.
"""

import datetime as dt
import mmap
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from golive.models import base

_OFFSET = struct.Struct("d")


class ClockFile:
    """By how many seconds the clock of the programs that watch this file is ahead; negative for behind."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def set(self, offset_s: float) -> None:
        """Step the clock."""
        _OFFSET.pack_into(self._map, 0, offset_s)

    def offset_s(self) -> float:
        """Return how far ahead it is."""
        found: float = _OFFSET.unpack_from(self._map, 0)[0]
        return found


def install(path: Path) -> None:
    """Make this process's clock the one of a file."""
    clock = ClockFile(path)
    real, real_ns = time.time, time.time_ns

    class Skewed(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + dt.timedelta(seconds=clock.offset_s())

    vars(time)["time"] = lambda: real() + clock.offset_s()
    vars(time)["time_ns"] = lambda: real_ns() + int(clock.offset_s() * 1e9)
    # Of `golive.models.base` alone, whose `utc_now` is the only one to ask: the class itself cannot be changed.
    vars(base)["dt"] = SimpleNamespace(**vars(dt) | {"datetime": Skewed})
