"""What many look at: one of them reads it, and who asks at the same time or a moment later gets the same."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

_KEYS: Final = 64

T = TypeVar("T")


class Shared:
    """Keeps what was read under each key for a moment.

    Args:
        kept_s: How long, in seconds, from when it was read.
    """

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._found: dict[Hashable, _Found] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, or returned for somebody else under this key just now."""
        with self._lock:
            found = self._found.pop(key, None) or _Found()
            self._found[key] = found
            while len(self._found) > _KEYS:
                del self._found[next(iter(self._found))]
        with found.reading:
            if found.at is None or time.monotonic() - found.at > self._kept_s:
                found.value, found.at = read(), time.monotonic()
            value: T = found.value
            return value


class _Found:
    def __init__(self) -> None:
        self.reading = threading.Lock()
        self.at: float | None = None
        self.value: Any = None
