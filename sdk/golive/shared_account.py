"""The account of one process with one store, kept where the other processes of the host can read it (E2).

    <spool_dir>/<store key>/<process>/account      one file per living process
    <spool_dir>/<store key>/retired                what ended ones had counted

An event of the spool is counted with the position its line ends at, so that after a `kill -9` between the
line and its count the successor knows which lines are missing, and counts them. `golive.host_account` reads
all of it.

| record | cells |
| --- | --- |
| events, domain, metric, outcome | count, position · trace id · duration in seconds or NaN, when |
| values, domain, metric | sum, position · last value, when |
| durations, domain, metric, outcome | count of each bucket, position · sum of seconds, position |
| exported | count, when |
| failures | deliveries that failed, when the last one did |
| discarded, reason | count, when the last one was |
| backlog | events that wait, when the oldest was recorded; 0 for none |

Times are Unix nanoseconds.
"""

import logging
import math
import threading
import time
from pathlib import Path
from typing import Final

from golive.account import DURATION_BUCKETS_S, Account, Series, bucket_of
from golive.cells import Cell, CellFile, Key
from golive.events import KpiEvent

_log = logging.getLogger(__name__)

FILE: Final = "account"
EVENTS: Final = "events"
VALUES: Final = "values"
DURATIONS: Final = "durations"
EXPORTED: Final = "exported"
FAILURES: Final = "failures"
DISCARDED: Final = "discarded"
BACKLOG: Final = "backlog"

_EXEMPLAR_EVERY_NS: Final = 1_000_000_000
_CELLS: Final = {
    EVENTS: 3,
    VALUES: 2,
    DURATIONS: len(DURATION_BUCKETS_S) + 2,
    EXPORTED: 1,
    FAILURES: 1,
    DISCARDED: 1,
    BACKLOG: 1,
}
_POSITIONED: Final = {EVENTS: 1, VALUES: 1, DURATIONS: len(DURATION_BUCKETS_S) + 2}
"""How many cells of a record, from the first on, have a position for a mark."""


class SharedAccount:
    """Counts what happens to the events of one store, in memory for this process and on disk for the host.

    Any thread may call any method. Where the disk has no room, the host does not see what this process
    counts until it has.

    Args:
        account: The account of this process, which is counted along.
        folder: The process's spool folder.

    Attributes:
        lock: Held to append an event to the spool and count it as one; reentrant, for a signal handler may
            record while its thread is recording.
    """

    def __init__(self, account: Account, folder: Path) -> None:
        self.lock = threading.RLock()
        self.closed = False
        self._account = account
        self._records: dict[Key, list[Cell]] = {}
        self._homeless: list[Key] = []
        self._counts: dict[tuple[Series, str], list[Cell]] = {}
        self._folder = folder
        self._file: CellFile | None = None
        self._complained = False
        self._house()

    def count(self, event: KpiEvent, position: int = 0) -> Series:
        """Count an event that has become true and durable; return the labels it counts under.

        Args:
            event: The event.
            position: Where its line in the spool ends; 0 for one that did not go through it.
        """
        with self.lock:
            series = self._account.count(event)
            outcome = event.outcome
            cells = self._counts.get((series, outcome))
            if cells is None:
                cells = self._counts[series, outcome] = self._cells((EVENTS, *series, outcome))
            count = cells[0]
            count.set(count.value + 1, position or count.mark)
            if event.value is not None:
                total, last = self._cells((VALUES, *series))
                total.set(total.value + event.value, position or total.mark)
                if event.created_ns >= last.mark:
                    last.set(event.value, event.created_ns)
            if event.duration_ms is not None:
                self._count_duration(series, outcome, event.duration_ms / 1000, position)
            if event.sampled and event.created_ns - cells[2].mark > _EXEMPLAR_EVERY_NS:
                seconds = math.nan if event.duration_ms is None else event.duration_ms / 1000
                cells[1].set_raw(bytes.fromhex(event.trace_id or ""))
                cells[2].set(seconds, event.created_ns)
            return series

    def discard(self, count: int, reason: str) -> None:
        """Count events that were not recorded; `reason` is one of `names.DISCARD_*`."""
        self._account.discard(count, reason)
        self._add((DISCARDED, reason), count)

    def delivered(self, count: int) -> None:
        """Count events that reached the store."""
        self._account.delivered(count)
        self._add((EXPORTED,), count)

    def failed(self) -> None:
        """Count a delivery that failed."""
        self._add((FAILURES,), 1)

    def waiting(self, events: int, oldest_ns: int) -> None:
        """Note how many events wait, and since when the oldest does; and what had no room on the disk."""
        with self.lock:
            cell = self._cells((BACKLOG,))[0]
            if (cell.value, cell.mark) != (events, oldest_ns):
                cell.set(events, oldest_ns)
            self._house()

    def move(self, folder: Path, position: int) -> None:
        """Go on in another folder, whose spool has everything up to `position` counted."""
        with self.lock:
            self._let_go()
            for (kind, *_), cells in self._records.items():
                for cell in cells[: _POSITIONED.get(kind, 0)]:
                    cell.set(cell.value, position)
            self._folder = folder
            self._house()

    def close(self) -> None:
        """Count no more: the file is somebody else's to read now."""
        with self.lock:
            self.closed = True
            self._let_go()

    def abandon_in_child(self) -> None:
        """Let go of the parent's file after a fork; without the lock, which the parent may have held."""
        self.closed = True
        self._let_go()

    def _count_duration(self, series: Series, outcome: str, seconds: float, position: int) -> None:
        cells = self._cells((DURATIONS, *series, outcome))
        bucket, total = cells[bucket_of(seconds)], cells[-1]
        bucket.set(bucket.value + 1, position or bucket.mark)
        total.set(total.value + seconds, position or total.mark)

    def _add(self, key: Key, count: int) -> None:
        with self.lock:
            cell = self._cells(key)[0]
            cell.set(cell.value + count, time.time_ns())

    def _cells(self, key: Key) -> list[Cell]:
        cells = self._records.get(key)
        if cells is None:
            cells = self._records[key] = [Cell() for _ in range(_CELLS[key[0]])]
            self._homeless.append(key)
            self._house()
        return cells

    def _house(self) -> None:
        """Give every record a place in the file."""
        if self.closed:
            return
        try:
            if self._file is None:
                self._file = CellFile(self._folder / FILE)
            while self._homeless:
                key = self._homeless[-1]
                self._file.add(key, self._records[key])
                self._homeless.pop()
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.error("the host's other processes cannot see what this one counts: %s", error)

    def _let_go(self) -> None:
        self._homeless = list(self._records)
        for cells in self._records.values():
            for cell in cells:
                cell.leave()
        if self._file is not None:
            self._file.close()
            self._file = None
