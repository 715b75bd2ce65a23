"""The drain: one background thread that delivers spooled events to the store, in order (E4)."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from golive import events, names, otel_logs
from golive.bell import Bell
from golive.events import KpiEvent
from golive.orphans import Orphans
from golive.otel_logs import LogRecordExportResult
from golive.shared_account import SharedAccount
from golive.spool import Spool
from golive.spool_folder import Batch, SpoolFolder
from golive.stores import EventStore

_log = logging.getLogger(__name__)

BATCH_EVENTS = 2000
IDLE_S = 0.5
"""How often an idle drain looks round for work nobody announced."""
QUIET_S = 0.01
LINGER_S = 0.25
"""After an idle time a batch waits until nothing was appended for `QUIET_S`, at most `LINGER_S`."""
MAX_PAUSE_S = 0.05
"""While the business emits, the drain rests after a batch as long as the batch took, at most this."""
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 30.0
COMPLAIN_EVERY_S = 60.0


class Drain:
    """Delivers one spool, and those of dead processes beside it, through an OpenTelemetry exporter.

    A batch that fails is tried again, after a capped exponential backoff with jitter, until it succeeds:
    nothing behind it overtakes it. What was delivered is announced to OpenTelemetry as events.

    Args:
        spool: This process's spool.
        exporter: Takes the batches; may block, may fail, may raise.
        account: Counts deliveries and what proves undeliverable.
        announce: Called with each delivered event.
        housekeeping: Called about every half second, in this thread.
        max_series: Bound on the series of ended processes' accounts.
    """

    def __init__(
        self,
        spool: Spool,
        exporter: EventStore,
        account: SharedAccount,
        announce: Callable[[KpiEvent], None],
        housekeeping: Callable[[], None],
        max_series: int,
    ) -> None:
        self._spool = spool
        self._exporter = exporter
        self._account = account
        self._announce = announce
        self._housekeeping = housekeeping
        self._delivered = 0
        self._orphans = Orphans(spool, exporter, account, max_series)
        self._failures = 0
        self._complaint_due = 0.0
        self._oldest_ns: int | None = None
        self._wake = Bell()
        self._stopping = False
        self._flushes = 0
        self._hurry = Bell()
        self._progress = threading.Condition()
        self.quiescent = threading.Lock()
        """Held while a batch is under way; `fork` waits for it, so that no child inherits half a delivery."""
        self._thread = threading.Thread(target=self._run, name="golive-drain", daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: The interpreter is shutting down; what is spooled waits for the next process.
        """
        self._thread.start()

    def notify(self) -> None:
        """Say that something was appended."""
        if not self._wake.is_set():
            self._wake.set()

    def pending(self) -> int:
        """Return how many events wait to be delivered, those of dead processes included."""
        return self.own_pending() + self._orphans.pending

    def own_pending(self) -> int:
        """Return how many events of this process wait to be delivered."""
        return self._spool.appended - self._delivered

    def oldest_age_s(self) -> float:
        """Return about how long the oldest of them has waited, in seconds; 0 if none waits."""
        oldest = self._oldest_ns
        return max(time.time_ns() - oldest, 0) / 1e9 if oldest and self.pending() else 0.0

    @property
    def failing(self) -> bool:
        """Whether the last delivery failed."""
        return self._failures > 0

    def flush(self, timeout_s: float) -> bool:
        """Deliver everything now; return whether nothing is left. Never raises."""
        deadline = time.monotonic() + timeout_s
        with self._progress:
            self._flushes += 1
            self._orphans.look_soon()
            self._hurry.set()
            self._wake.set()
            try:
                while not self._idle():
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or not self._thread.is_alive():
                        return False
                    self._progress.wait(min(remaining, IDLE_S))
                    self._wake.set()
                return not self._orphans.unreadable
            finally:
                self._flushes -= 1
                if not self._flushes and not self._stopping:
                    self._hurry.clear()

    def stop(self) -> None:
        """End the thread after the batch under way, and let go of dead processes' spools."""
        self._stopping = True
        self._hurry.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)
        self._orphans.close()

    def abandon_in_child(self) -> None:
        """Let go of dead processes' spools after a fork: they are the parent's to deliver."""
        self._orphans.abandon_in_child()

    def _idle(self) -> bool:
        return self.pending() == 0 and self._orphans.idle

    def _run(self) -> None:
        while not self._stopping:
            started, appended = time.monotonic(), self._spool.appended
            try:
                worked = self._round()
            except Exception as error:
                self._complain(error)
                worked = None
            with self._progress:
                self._progress.notify_all()
            if worked is None:
                self._back_off()
            elif not worked:
                self._wake.wait(IDLE_S)
                self._linger()
            elif self._spool.appended != appended:
                self._hurry.wait(min(time.monotonic() - started, MAX_PAUSE_S))

    def _round(self) -> bool | None:
        """Deliver one batch; return None if it failed, False if there was none."""
        self._wake.clear()
        self._note_backlog()
        if not self._spool.folder.path.exists():
            self._restore_spool()
        self._orphans.look_round()
        # Behind it, for a `flush` waits until orphans were looked for: what is decided by then is delivered.
        self._housekeeping()
        with self.quiescent:
            found = self._orphans.next_batch(BATCH_EVENTS)
            if found is not None:
                folder, left = found
                if not self._deliver(folder, left):
                    return None
                self._orphans.delivered(_length(left))
                return True
            appended = self._spool.appended
            batch = self._spool.folder.read(BATCH_EVENTS)
            if batch is None:
                self._oldest_ns = None
                if self._spool.folder.path.exists():  # else they are restored, or lost, with it
                    self._miss(appended - self._delivered)
                return False
            if not self._deliver(self._spool.folder, batch):
                return None
            self._delivered += _length(batch)
            return True

    def _miss(self, events: int) -> None:
        """Wait no longer for events that were appended, and are lines no more: their ends are damaged."""
        self._delivered += events
        if events > 0:  # not, where a line has become two
            self._account.discard(events, names.DISCARD_CORRUPT)
            _log.error("%d events of the spool %s have no line any more", events, self._spool.folder.path)

    def _deliver(self, folder: SpoolFolder, batch: Batch) -> bool:
        parsed, unreadable = _parse(batch.lines)
        if parsed:
            self._oldest_ns = parsed[0].created_ns
        if parsed and not self._export(parsed):
            return False
        self._put_aside(folder, [*batch.corrupt, *unreadable])
        before = folder.position.segment
        folder.acknowledge(batch.end)
        if batch.end.segment != before:
            self._spool.measure()
        self._account.delivered(len(parsed))
        for event in parsed:
            self._announce(event)
        return True

    def _export(self, parsed: Sequence[KpiEvent]) -> bool:
        try:
            result = self._exporter.export([otel_logs.readable(otel_logs.to_record(e)) for e in parsed])
        except Exception:
            _log.exception("the golive exporter raised; the events stay in the spool")
            result = LogRecordExportResult.FAILURE
        delivered = result is LogRecordExportResult.SUCCESS
        self._failures = 0 if delivered else self._failures + 1
        if not delivered:
            self._account.failed()
        return delivered

    def _put_aside(self, folder: SpoolFolder, lines: list[bytes]) -> None:
        if not lines:
            return
        for line in lines:
            folder.quarantine(line)
        self._account.discard(len(lines), names.DISCARD_CORRUPT)
        _log.error(
            "%d damaged lines of the spool %s were put aside in quarantine.log", len(lines), folder.path
        )

    def _restore_spool(self) -> None:
        with self._account.lock:
            lost = self._spool.restore(self._delivered)
            self._account.move(self._spool.folder.path, self._spool.end)
        self._delivered += lost
        if lost:
            self._account.discard(lost, names.DISCARD_DISK)
        _log.error("the spool's folder was removed; a new one was made, and %d events are lost", lost)

    def _complain(self, error: Exception) -> None:
        self._failures += 1
        if time.monotonic() >= self._complaint_due:
            self._complaint_due = time.monotonic() + COMPLAIN_EVERY_S
            _log.error("the golive drain failed, and will try again", exc_info=error)

    def _back_off(self) -> None:
        if self._hurry.is_set():
            time.sleep(FIRST_BACKOFF_S)
        else:
            ceiling = min(FIRST_BACKOFF_S * 2 ** min(self._failures, 20), MAX_BACKOFF_S)
            wait_s = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter needs no cryptography
            until = time.monotonic() + wait_s
            while (
                not self._hurry.wait(max(min(until - time.monotonic(), IDLE_S), 0))
                and time.monotonic() < until
            ):
                self._note_backlog()

    def _note_backlog(self) -> None:
        pending = self.pending()
        self._account.waiting(pending, self._oldest_ns or 0 if pending else 0)

    def _linger(self) -> None:
        """Stay off the interpreter lock while the business is in a burst, and gather a larger batch."""
        deadline = time.monotonic() + LINGER_S
        seen = self._delivered
        while self._spool.appended != seen and time.monotonic() < deadline and not self._hurry.is_set():
            seen = self._spool.appended
            self._hurry.wait(QUIET_S)


def _parse(lines: list[bytes]) -> tuple[list[KpiEvent], list[bytes]]:
    parsed: list[KpiEvent] = []
    unreadable: list[bytes] = []
    for line in lines:
        try:
            parsed.append(events.from_json(line))
        except ValueError:
            unreadable.append(line)
    return parsed, unreadable


def _length(batch: Batch) -> int:
    return len(batch.lines) + len(batch.corrupt)
