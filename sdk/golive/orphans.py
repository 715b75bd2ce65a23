"""The spools of dead processes: what becomes of each until nothing of it is left (E4).

1. Its lock is had, so that nobody else does the same.
2. Its last lines are counted where it had no time to, which may have to wait for room on the disk.
3. All of it is delivered, by the drain.
4. Its transactions are over: the store says which were committed, and its account joins that of the ended.
5. Its folder is removed.

One that cannot be read is left alone meanwhile, and holds up no other.
"""

import logging
import time
from dataclasses import dataclass

from golive.shared_account import SharedAccount
from golive.spool import Spool
from golive.spool_folder import Batch, SpoolFolder, orphans
from golive.stores import EventStore
from golive.succession import look_into, retire, take_over

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
UNREADABLE_S = 60.0
"""How long a spool that cannot be read is left alone."""
SETTLE_S = 2.0
"""How long after its client is gone it is first asked what became of a transaction."""


@dataclass(eq=False)
class _Orphan:
    """A dead process's spool, its lock held."""

    folder: SpoolFolder
    due: float = 0.0
    """When it may be let go or, if it cannot be read, is tried again: a reading of the monotonic clock."""
    uncounted: list[tuple[int, bytes]] | None = None
    """Its last lines, while those that it had no time to count cannot be counted either."""


class Orphans:
    """Takes over the spools of dead processes beside this one's, and lets each go once all of it is done.

    Used by one thread, the one that delivers. Another one may read `pending`, `idle` and `unreadable`, call
    `look_soon`, and close it.

    Args:
        spool: This process's spool.
        store: Is asked for the events of transactions nobody saw the end of.
        account: Counts what cannot be read.
        max_series: Bound on the series of ended processes' accounts.

    Attributes:
        pending: How many of their events wait to be delivered.
    """

    def __init__(self, spool: Spool, store: EventStore, account: SharedAccount, max_series: int) -> None:
        self.pending = 0
        self._spool = spool
        self._store = store
        self._account = account
        self._max_series = max_series
        self._orphans: list[_Orphan] = []
        self._unreadable: list[_Orphan] = []
        self._look_due = 0.0

    @property
    def idle(self) -> bool:
        """Whether `look_round` has looked since `look_soon`, and only what cannot be read is left."""
        return self._look_due > 0.0 and not self._orphans

    @property
    def unreadable(self) -> bool:
        """Whether there is what cannot be read."""
        return bool(self._unreadable)

    def look_soon(self) -> None:
        """Have the next `look_round` look in any case."""
        self._look_due = 0.0

    def look_round(self) -> None:
        """Look for spools of dead processes every few seconds, and take them over."""
        if time.monotonic() < self._look_due:
            return
        for folder in orphans(self._spool.root):
            self._take_over(_Orphan(folder))
        for orphan in [each for each in self._unreadable if each.due <= time.monotonic()]:
            self._unreadable.remove(orphan)
            self._take_over(orphan)
        self._spool.measure()
        self._look_due = time.monotonic() + LOOK_EVERY_S

    def next_batch(self, max_lines: int) -> tuple[SpoolFolder, Batch] | None:
        """Return the next lines to deliver, and where they are; None if there are none now.

        A spool that has none any more is let go, if it may be.
        """
        for orphan in list(self._orphans):
            try:
                batch = orphan.folder.read(max_lines)
            except OSError as error:
                self._leave_alone(orphan, error)
                continue
            if batch is not None:
                return orphan.folder, batch
            self._end(orphan)
        return None

    def delivered(self, lines: int) -> None:
        """Learn that so many lines of a batch are delivered, or put aside."""
        self.pending -= lines

    def close(self) -> None:
        """Let go of all of them, and leave them to the next process."""
        for orphan in [*self._orphans, *self._unreadable]:
            orphan.folder.close()
        self._orphans, self._unreadable = [], []

    def abandon_in_child(self) -> None:
        """Let go of all of them after a fork: they are the parent's to deliver."""
        for orphan in [*self._orphans, *self._unreadable]:
            orphan.folder.abandon_in_child()

    def _take_over(self, orphan: _Orphan) -> None:
        try:
            lines = orphan.folder.last_lines()
        except OSError as error:
            self._leave_alone(orphan, error)
            return
        undecided = take_over(orphan.folder.path, lines)
        # Where they cannot be counted its events need not wait, and may be what takes up the room.
        orphan.uncounted = lines if undecided is None else None
        orphan.due = time.monotonic() + (0.0 if undecided is False else SETTLE_S)
        self._orphans.append(orphan)
        self.pending += orphan.folder.pending()

    def _leave_alone(self, orphan: _Orphan, error: OSError) -> None:
        """Have the others delivered meanwhile, and read it a little later: it may have been the moment."""
        self._let_go(orphan)
        orphan.due = time.monotonic() + UNREADABLE_S
        self._unreadable.append(orphan)
        self._account.failed()
        _log.error("the spool %s cannot be read, and waits: %s", orphan.folder.path, error)

    def _end(self, orphan: _Orphan) -> None:
        """Let a spool go, all of it delivered, once its last transaction is decided."""
        if time.monotonic() < orphan.due:
            return
        try:
            look_into(orphan.folder.path)
        except OSError as error:
            self._leave_alone(orphan, error)
            return
        if not self._retire(orphan):
            orphan.due = time.monotonic() + LOOK_EVERY_S
            return
        self._let_go(orphan)
        orphan.folder.remove()
        self._spool.measure()

    def _retire(self, orphan: _Orphan) -> bool:
        path = orphan.folder.path
        if orphan.uncounted is not None:
            if take_over(path, orphan.uncounted) is None:
                return False
            orphan.uncounted = None
        return retire(path, self._store.find, self._max_series)

    def _let_go(self, orphan: _Orphan) -> None:
        # Whether or not it is there: `close` may have come in between.
        self._orphans = [each for each in self._orphans if each is not orphan]
        if not self._orphans:
            self.pending = 0
