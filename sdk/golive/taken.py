"""Which events this process has taken lately, so that one that is sent again is known before it is stored."""

import threading
from collections.abc import Iterable
from typing import Final

from golive.events import KpiEvent

_REMEMBERED: Final = 50_000


class Taken:
    """The events taken last, by a hash of all of each.

    Attributes:
        lock: Held to look, record and add as one; reentrant.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._hashes: dict[int, None] = {}

    def new(self, events: Iterable[KpiEvent]) -> list[KpiEvent]:
        """Return those not added, each once, in their order."""
        with self.lock:
            by_hash: dict[int, KpiEvent] = {}
            for event in events:
                by_hash.setdefault(hash(event), event)
            return [event for key, event in by_hash.items() if key not in self._hashes]

    def add(self, events: Iterable[KpiEvent]) -> None:
        """Remember them, and forget the oldest in their place."""
        with self.lock:
            self._hashes.update(dict.fromkeys(map(hash, events)))
            while len(self._hashes) > _REMEMBERED:
                del self._hashes[next(iter(self._hashes))]
