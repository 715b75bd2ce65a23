"""One running pipeline: decides where an event goes, and owns the spool, the drain and the store."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from sqlalchemy import URL
from sqlalchemy.orm import Session

from golive import database, names, pipeline, transactions
from golive.account import Account, Tally
from golive.drain import Drain
from golive.errors import SpoolFull
from golive.events import KpiEvent, to_json
from golive.orphans import SETTLE_S
from golive.otel_env import providers_from_environment
from golive.otel_logs import LoggerProvider
from golive.settings import Settings
from golive.shared_account import SharedAccount
from golive.spool import Closed, NoRoom
from golive.spool_places import open_spool
from golive.stores import open_store
from golive.succession import retire
from golive.taken import Taken
from golive.telemetry import Telemetry

_log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 10.0
_BLOCK_POLL_S = 0.01


class Undecided(NamedTuple):
    """Events of a transaction whose commit was never answered, how to ask for them, and when."""

    events: Sequence[KpiEvent]
    find: Callable[[], Iterable[KpiEvent]]
    due: float


class Pipeline:
    """Takes events to the store; a `transactions.Recorder`.

    Args:
        url: The event store.
        settings: Sizes, times and policies.
        account: Counts what becomes true.

    Raises:
        ConfigurationError: The store is of an unsupported kind, or no folder for the spool can be made.
    """

    def __init__(
        self,
        url: URL,
        settings: Settings,
        account: Account,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self.url = url
        self.settings = settings
        self.account = account
        self._undecided: list[Undecided] = []
        self._same_database: dict[URL, bool] = {}
        self._complaint_due = 0.0
        self._providers = providers_from_environment()
        self._store = open_store(url)
        self._store.on_rejected = self._put_aside
        self._spool = open_spool(settings, url)
        self._shared = SharedAccount(account, self._spool.folder.path)
        self._taken = Taken()
        self.telemetry = Telemetry(
            account,
            pipeline.backlog,
            tracer_provider or self._providers.tracer,
            meter_provider or self._providers.meter,
            logger_provider or self._providers.logger,
        )
        self.drain = Drain(
            self._spool,
            self._store,
            self._shared,
            self.telemetry.announce,
            self._decide,
            settings.max_series,
        )
        transactions.install()

    def start(self) -> None:
        """Start delivering; at the interpreter's very end events only go to the spool."""
        try:
            self.drain.start()
        except RuntimeError:
            _log.warning("the interpreter is ending: KPI events wait in the spool for the next process")
            self._decide()

    def record(self, event: KpiEvent, session: Session | None, *, may_raise: bool = True) -> None:
        """Record an event: held with the session's transaction if its truth hangs on it, else at once (E1).

        Raises:
            SpoolFull: The spool is full, the policy is `raise`, and `may_raise`.
        """
        conditional = event.success is True or (event.success is None and event.value is not None)
        if conditional and session is not None and transactions.hold(session, event, self):
            return
        self._record_durably(event, may_raise)

    def record_all(self, events: Sequence[KpiEvent]) -> None:
        """Record events at once, all or none, whatever the policy of a full spool is.

        Raises:
            SpoolFull: There is no room; none was recorded.
        """
        try:
            with self._shared.lock:
                positions = self._spool.append_all([to_json(event) for event in events])
                tallies = list(map(self._shared.count, events, positions))
        except NoRoom as error:
            raise SpoolFull(f"the KPI events were not recorded: {error}") from error
        except Closed:
            successor = pipeline.current()
            if successor is None:
                raise SpoolFull("the KPI events were not recorded: the pipeline has ended") from None
            successor.record_all(events)
            return
        for event, tally in zip(events, tallies, strict=True):
            self._record_duration(event, tally)
        self.drain.notify()

    def record_once(self, events: Sequence[KpiEvent]) -> int:
        """Record those of the events that are new, all or none; return how many.

        Raises:
            SpoolFull: There is no room; none was recorded.
        """
        lacking = self._lacking(self._taken.new(events))
        # Held until they are durable: who sends the same at the same time must not be told so too early.
        with self._taken.lock:
            fresh = self._taken.new(lacking)
            if fresh:
                self.record_all(fresh)
                self._taken.add(fresh)
        return len(fresh)

    def heir(self) -> "Pipeline":
        return (pipeline.current() or self) if self._shared.closed else self

    def insert(self, session: Session, held: Sequence[KpiEvent]) -> bool:
        try:
            bind = session.get_bind()
            if not self._is_store(bind.engine.url):
                return False
            connection = session.connection(bind_arguments={"bind": bind})
        except Exception:
            # Several databases, of which ours cannot be known; an application's own choice among them that
            # wants to know more; or a database that is away, and the business has asked nothing of it.
            _log.debug("KPI events go to the spool after the commit", exc_info=True)
            return False
        self._shared.intend(held)
        inserted = False
        try:
            inserted = self._store.insert(connection, held, partial(self._shared.note_transaction, held))
        finally:
            if not inserted:
                self._shared.withdraw(held)
        return inserted

    def publish(self, inserted: Sequence[KpiEvent]) -> None:
        if not inserted:
            return
        for event, tally in zip(inserted, self._count_committed(inserted), strict=True):
            self._record_duration(event, tally)
            self.telemetry.announce(event)
        self._store.committed(inserted)

    def undo(self, inserted: Sequence[KpiEvent]) -> None:
        self._shared.withdraw(inserted)
        self.discard(len(inserted), names.DISCARD_ROLLBACK)

    def undecided(self, inserted: Sequence[KpiEvent]) -> None:
        if inserted:
            ids = [event.id for event in inserted]
            find = partial(self._store.find, ids, self._shared.transactions_of(inserted))
            self.heir()._undecided.append(Undecided(inserted, find, time.monotonic() + SETTLE_S))

    def record_now(self, held: Sequence[KpiEvent]) -> None:
        for event in held:
            self._record_durably(event, may_raise=False)

    def discard(self, count: int, reason: str) -> None:
        if not count:
            return
        (self._successor() or self.account).discard(count, reason)
        if reason == names.DISCARD_UNCOMMITTED and self.account.discarded[reason] == count:
            _log.warning(
                "a session that had written ended without commit or rollback: its %d KPI events were "
                "discarded (said once a process; golive_discarded_events_total counts on)",
                count,
            )

    def backlog(self) -> tuple[int, float]:
        """Return how many events wait in the spool, and the age of the oldest in seconds."""
        return self.drain.pending(), self.drain.oldest_age_s()

    def flush(self, timeout_s: float) -> bool:
        """Deliver everything now; return whether nothing is left."""
        return self.drain.flush(timeout_s) and not transactions.abandoned() and not self._undecided

    def close(self, *, for_good: bool = False) -> None:
        """Deliver what can be delivered in `shutdown_seconds`, and leave the rest to the next process.

        Args:
            for_good: This process ends with it, and what it is committing in this moment is the rest too.
        """
        self.flush(self.settings.shutdown_seconds)
        self.drain.stop()
        # Nobody can record between the last count and the end of the spool.
        with self._shared.lock:
            committing = self._shared.close()
            find = self._store.find if self._undecided else None
            retired = not (for_good and committing) and retire(
                self._spool.folder.path, find, self.settings.max_series
            )
            self._spool.close(remove=retired and self.drain.own_pending() == 0)
        self._store.shutdown()
        self._providers.close(self.settings.shutdown_seconds)

    def abandon_in_child(self) -> None:
        """Let go of the parent's spools after a fork, touching nothing else of the parent's."""
        self._spool.abandon_in_child()
        self._shared.abandon_in_child()
        self.drain.abandon_in_child()

    def _record_durably(self, event: KpiEvent, may_raise: bool) -> None:
        line = to_json(event)
        try:
            try:
                tally = self._append(line, event)
            except NoRoom as error:
                waited = self._wait_for_room(line, event) if self.settings.when_full == "block" else None
                if waited is None:
                    self._refuse(error, may_raise)
                    return
                tally = waited
        except Closed:
            self._hand_on(event, may_raise)
            return
        self._record_duration(event, tally)
        self.drain.notify()

    def _lacking(self, events: Sequence[KpiEvent]) -> Sequence[KpiEvent]:
        """Return those of the events the store lacks; all of them where it cannot be asked."""
        if not events or self.drain.failing:
            return events
        try:
            return self._store.lacking(events)
        except Exception as error:  # its driver raises what it likes; a row is written once in any case
            _log.debug("the store could not be asked for events that may be there: %s", type(error).__name__)
            return events

    def _append(self, line: bytes, event: KpiEvent) -> Tally:
        """Spool and count an event as one; return what it counts under."""
        with self._shared.lock:
            return self._shared.count(event, self._spool.append(line))

    def _wait_for_room(self, line: bytes, event: KpiEvent) -> Tally | None:
        """Append as soon as there is room; return None if there was none before the deadline."""
        deadline = time.monotonic() + self.settings.block_seconds
        while time.monotonic() < deadline:
            time.sleep(_BLOCK_POLL_S)
            with contextlib.suppress(NoRoom):
                return self._append(line, event)
        return None

    def _hand_on(self, event: KpiEvent, may_raise: bool) -> None:
        """Give an event that met a shutdown to the pipeline that comes after."""
        successor = pipeline.current()
        if successor is None:
            self.discard(1, names.DISCARD_ERROR)
        else:
            successor._record_durably(event, may_raise)

    def _refuse(self, error: NoRoom, may_raise: bool) -> None:
        self._shared.discard(1, names.DISCARD_DISK if error.disk else names.DISCARD_SPOOL_FULL)
        if time.monotonic() >= self._complaint_due:
            self._complaint_due = time.monotonic() + _COMPLAIN_EVERY_S
            _log.error("KPI events are being lost: %s; %d wait for the store", error, self.drain.pending())
        if may_raise and self.settings.when_full == "raise":
            raise SpoolFull(f"the KPI event was not recorded: {error}") from error

    def _put_aside(self, row: str) -> None:
        self._spool.folder.quarantine(row.encode())
        self._shared.discard(1, names.DISCARD_REJECTED)

    def _count_committed(self, committed: Sequence[KpiEvent]) -> list[Tally]:
        shared = self._successor()
        if shared is None:
            return [self.account.count(event) for event in committed]
        return shared.count_committed(committed)

    def _successor(self) -> SharedAccount | None:
        """Return where to count now: a transaction may be decided after this pipeline has ended."""
        if not self._shared.closed:
            return self._shared
        successor = pipeline.current()
        return None if successor is None else successor._shared

    def _record_duration(self, event: KpiEvent, tally: Tally) -> None:
        if event.duration_ms is not None:
            self.telemetry.record_duration(tally, event.duration_ms / 1000)

    def _is_store(self, url: URL) -> bool:
        known = self._same_database.get(url)
        if known is None:
            known = self._same_database[url] = database.same_database(url, self.url)
        return known

    def _decide(self) -> None:
        for held in transactions.abandoned():
            held.end_abandoned(self)
        for undecided in [each for each in self._undecided if each.due <= time.monotonic()]:
            self._undecided.remove(undecided)
            self._ask_about(undecided)

    def _ask_about(self, undecided: Undecided) -> None:
        inserted = undecided.events
        try:
            emitters = {found.id: found.emitter for found in undecided.find()}
        except Exception:  # the store is away, and its driver raises what it likes; or it has not decided
            self._undecided.append(undecided._replace(due=time.monotonic() + SETTLE_S))
            return
        self.publish([each for each in inserted if emitters.get(each.id) == each.emitter])
        self.undo([each for each in inserted if emitters.get(each.id) != each.emitter])
