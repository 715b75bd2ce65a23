"""The account of one process with one store, kept where the other processes of the host can read it (E2).

    <spool_dir>/<store key>/<process>/account      one file per living process
    <spool_dir>/<store key>/retired                what ended ones had counted

A `kill -9` may strike between an event and its count, and whoever takes the file over counts what is missing:
an event of the spool is counted with the position its line ends at, so that later lines are known to be
missing; one inserted by a business transaction is counted with a number in a sequence, and its id noted
before the commit, so that the store can be asked for it. `golive.succession` does both.

| record | cells |
| --- | --- |
| events, domain, metric, outcome | count, position · trace id · duration in seconds or NaN, when |
| values, domain, metric | count, position · sum, position · last value, when |
| durations, domain, metric, outcome | count of each bucket, position · sum of seconds, position |
| tx.events, tx.values, tx.durations | the same of business transactions, with a number for position |
| intent, number | how many ids follow, number of the first one once counted · id · id … · transaction |
| exported | count, when |
| failures | deliveries that failed, when the last one did |
| discarded, reason | count, when the last one was |
| backlog | events that wait, when the oldest was recorded; 0 for none |

Times are Unix nanoseconds. A transaction is the number the database has for it, 0 if it gives none or the
events are not inserted yet.
"""

import logging
import math
import threading
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from golive.account import DURATION_BUCKETS_S, Account, Tally, bucket_of
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
TX: Final = "tx."
INTENT: Final = "intent"
INTENT_IDS: Final = 16

_EXEMPLAR_EVERY_NS: Final = 1_000_000_000
_COUNTS: Final = {EVENTS: 3, VALUES: 3, DURATIONS: len(DURATION_BUCKETS_S) + 2}
CELLS: Final = {
    **_COUNTS,
    **{TX + kind: cells for kind, cells in _COUNTS.items()},
    INTENT: 1 + INTENT_IDS + 1,
    EXPORTED: 1,
    FAILURES: 1,
    DISCARDED: 1,
    BACKLOG: 1,
}
"""How many cells a record of each kind has."""
_POSITIONED: Final = {EVENTS: 1, VALUES: 2, DURATIONS: _COUNTS[DURATIONS]}
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
        self._housing = False
        # By what is counted along, for that is found already.
        self._counts: dict[str, dict[Tally, list[Cell]]] = {"": {}, TX: {}}
        self._intents: dict[int, list[Cell]] = {}
        self._free_intents: list[list[Cell]] = []
        self._intents_made = 0
        self._sequence = 0
        self._folder = folder
        self._file: CellFile | None = None
        self._complained = False
        self._house()

    def count(self, event: KpiEvent, position: int, way: str = "") -> Tally:
        """Count an event that is true and durable; return what it counts under. The lock must be held.

        Args:
            event: The event.
            position: Where its line in the spool ends, or its number in the sequence.
            way: How it came: empty for the spool, `TX` for a transaction.
        """
        tally = self._account.count(event)
        counts = self._counts[way]
        cells = counts.get(tally)
        if cells is None:
            cells = counts[tally] = self._cells((way + EVENTS, *tally.series, tally.outcome))
        count, trace, stamp = cells
        count.add(1, position)
        if event.value is not None:
            values, total, last = self._cells((way + VALUES, *tally.series))
            values.add(1, position)
            total.add(event.value, position)
            if event.created_ns >= last.mark:
                last.set(event.value, event.created_ns)
        seconds = math.nan
        if event.duration_ms is not None:
            seconds = event.duration_ms / 1000
            durations = self._cells((way + DURATIONS, *tally.series, tally.outcome))
            bucket, total = durations[bucket_of(seconds)], durations[-1]
            bucket.add(1, position)
            total.add(seconds, position)
        if event.sampled and event.created_ns - stamp.mark > _EXEMPLAR_EVERY_NS:
            trace.set_raw(bytes.fromhex(event.trace_id or ""))
            stamp.set(seconds, event.created_ns)
        return tally

    def intend(self, events: Sequence[KpiEvent]) -> None:
        """Note that a transaction is about to commit these events."""
        with self.lock:
            for start in range(0, len(events), INTENT_IDS):
                noted = events[start : start + INTENT_IDS]
                intent = self._free_intents.pop() if self._free_intents else self._new_intent()
                for cell, event in zip(intent[1:], noted, strict=False):
                    cell.set(0, event.id)
                    self._intents[event.id] = intent
                intent[-1].set(0, 0)
                intent[0].set(len(noted), 0)

    def note_transaction(self, events: Sequence[KpiEvent], transaction: int) -> None:
        """Note by which number the database knows the transaction these events are in."""
        with self.lock:
            for intent, _ in groupby(events, lambda event: self._intents.get(event.id)):
                if intent is not None:
                    intent[-1].set(0, transaction)

    def transactions_of(self, events: Sequence[KpiEvent]) -> set[int]:
        """Return the database's numbers of the transactions that were about to commit these events."""
        with self.lock:
            intents = [self._intents[event.id] for event in events if event.id in self._intents]
        return {intent[-1].mark for intent in intents} - {0}

    def count_committed(self, events: Sequence[KpiEvent]) -> list[Tally]:
        """Count events of a committed transaction; return what each counts under."""
        counted = []
        with self.lock:
            for intent, group in groupby(events, lambda event: self._intents.pop(event.id, None)):
                noted = list(group)
                if intent is not None:
                    intent[0].set(len(noted), self._sequence + 1)
                for event in noted:
                    self._sequence += 1
                    counted.append(self.count(event, self._sequence, TX))
                if intent is not None:
                    self._free(intent)
        return counted

    def withdraw(self, events: Sequence[KpiEvent]) -> None:
        """Forget an intention: the transaction was rolled back."""
        with self.lock:
            for event in events:
                intent = self._intents.pop(event.id, None)
                if intent is not None and intent[0].value:
                    self._free(intent)

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

    def close(self) -> bool:
        """Count no more: the file is somebody else's to read now.

        Returns:
            Whether it says that a transaction is being committed, whose events the store has to be asked for.
        """
        with self.lock:
            self.closed = True
            committing = bool(self._intents) and not self._homeless
            self._let_go()
            return committing

    def abandon_in_child(self) -> None:
        """Let go of the parent's file after a fork; without the lock, which the parent may have held."""
        self.closed = True
        self._let_go()

    def _new_intent(self) -> list[Cell]:
        self._intents_made += 1
        return self._cells((INTENT, str(self._intents_made)))

    def _free(self, intent: list[Cell]) -> None:
        intent[0].set(0, 0)
        self._free_intents.append(intent)

    def _add(self, key: Key, count: int) -> None:
        with self.lock:
            self._cells(key)[0].add(count, time.time_ns())

    def _cells(self, key: Key) -> list[Cell]:
        cells = self._records.get(key)
        if cells is None:
            made = [Cell() for _ in range(CELLS[key[0]])]
            cells = self._records.setdefault(key, made)
            if cells is made:  # else a signal handler has made them meanwhile
                self._homeless.append(key)
                self._house()
        return cells

    def _house(self) -> None:
        """Give every record a place in the file; those a signal handler makes meanwhile as well."""
        if self.closed or self._housing:
            return
        self._housing = True
        try:
            if self._file is None:
                self._file = CellFile(self._folder / FILE)
            while self._homeless:
                key = self._homeless[0]
                self._file.add(key, self._records[key])
                del self._homeless[0]
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.error("the host's other processes cannot see what this one counts: %s", error)
        finally:
            self._housing = False

    def _let_go(self) -> None:
        self._homeless = list(self._records)
        for cells in self._records.values():
            for cell in cells:
                cell.leave()
        if self._file is not None:
            self._file.close()
            self._file = None
