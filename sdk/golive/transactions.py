"""Truth (E1): success and value events share the fate of the transaction they are emitted in.

Events are held per transaction and savepoint. Just before the commit they are inserted in the very same
transaction; a rollback, of a savepoint too, discards them. A session that ends with neither had its
transaction undone: its events are discarded if it wrote anything, and recorded if it had only read. One that
is dropped, or still open when the process ends, is decided by whichever pipeline runs then.

SQLAlchemy's session events carry this. `after_rollback` and `after_commit` come before
`after_transaction_end`, so whatever is still held at a root's end met neither.
"""

import contextlib
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.orm.session import SessionTransactionState
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from golive import names
from golive.errors import InvalidEvent
from golive.events import KpiEvent

_log = logging.getLogger(__name__)

_HELD = "golive.held"
_CHANGES = "golive.changes"
_SHARING = (StaticPool, SingletonThreadPool)
"""Pools whose connections several sessions have at once, as those to a database in memory."""
_AT_COMMIT = 0
"""The level of events that the commit under way decides on; no object has this id()."""
_MAX_FLUSHES = 100
"""So often SQLAlchemy flushes in a commit before it gives up."""


class Recorder(Protocol):
    """What a pipeline does with events whose transaction has been decided. No method raises but `insert`."""

    def heir(self) -> "Recorder":
        """Return who goes on in this one's place; itself while it runs."""

    def insert(self, session: Session, held: Sequence[KpiEvent]) -> bool:
        """Insert into the session's own transaction; return False where that cannot be done, nothing done."""

    def publish(self, inserted: Sequence[KpiEvent]) -> None:
        """Count and announce events whose rows have been committed."""

    def undo(self, inserted: Sequence[KpiEvent]) -> None:
        """Count events whose inserts were rolled back."""

    def undecided(self, inserted: Sequence[KpiEvent]) -> None:
        """Find out about events whose commit was sent and never answered: their rows may be there."""

    def record_now(self, held: Sequence[KpiEvent]) -> None:
        """Record events that are true."""

    def discard(self, count: int, reason: str) -> None:
        """Count events that turned out not to be true."""


class HeldEvents:
    """The events held for one session's root transaction, by the savepoint they were emitted in.

    Attributes:
        overtaken: Whether the process ends before the session does.
        counted: Whether the events are counted as discarded already.
    """

    def __init__(self, session: Session, recorder: Recorder) -> None:
        self.session = weakref.ref(session)
        self.thread = threading.get_ident()
        self.overtaken = False
        self.counted = False
        self.recorder = recorder
        # By id(), for a reference to a SessionTransaction would keep its session alive.
        self.levels: dict[int, list[KpiEvent]] = {}
        self.inserted: list[KpiEvent] = []
        self.connections: list[Connection] = []
        self.wrote: bool | None = None
        self.undone = False

    def add(self, transaction: SessionTransaction, held: KpiEvent) -> None:
        self.levels.setdefault(id(transaction), []).append(held)

    def take(self) -> list[KpiEvent]:
        """Return all that is held, and hold it no longer."""
        taken = [held for level in self.levels.values() for held in level]
        self.levels.clear()
        return taken

    def watch(self, connection: Connection, changes_before: int | None) -> None:
        """Find out at the connection's rollback whether its transaction wrote anything."""
        self.connections.append(connection)
        _watched[connection] = (self, changes_before)
        engine = connection.engine
        if engine not in _listening:
            _listening.add(engine)
            event.listen(engine, "rollback", _before_rollback)
            # A connection asks for its engine's listeners when it is made: this one has none yet.
            event.listen(connection, "rollback", _before_rollback)

    def discard(self, count: int, reason: str) -> None:
        """Count events that turned out not to be true, if the end of the process has not had them counted."""
        if not self.counted:
            self.recorder.discard(count, reason)

    def end_inserted(self, inserted: Sequence[KpiEvent]) -> None:
        """Decide on events whose rows were inserted, and no commit reported."""
        (self.recorder.undo if self.undone else self.recorder.undecided)(inserted)

    def end_undecided(self) -> None:
        """Decide on what is left after an end without commit or rollback."""
        inserted, self.inserted = self.inserted, []
        self.end_inserted(inserted)
        undecided = self.take()
        if not undecided:
            return
        if self.wrote if self.wrote is not None else bool(self.connections):
            self.discard(len(undecided), names.DISCARD_UNCOMMITTED)
        else:
            self.recorder.record_now(undecided)

    def end_abandoned(self, recorder: Recorder) -> None:
        """Decide for a session that was garbage collected, or overtaken by the end of the process.

        Args:
            recorder: The one that runs now, by whose drain this is called.
        """
        self.recorder = recorder
        _open.discard(self)
        for connection in self.connections:
            # An asynchronous driver cannot be asked outside its event loop.
            can_ask = (
                not connection.dialect.is_async and not connection.closed and connection.in_transaction()
            )
            _, changes_before = _watched.get(connection, (None, None))
            self.wrote = bool(self.wrote) or not can_ask or _wrote(connection, changes_before)
            if self.session() is None and not connection.dialect.is_async:
                with contextlib.suppress(Exception):
                    connection.close()
        if self.wrote and self.session() is not None and not self.inserted:
            # Counted, and held on: an exit handler of the application may commit them yet.
            self.discard(sum(map(len, self.levels.values())), names.DISCARD_UNCOMMITTED)
            self.counted = True
        else:
            self.end_undecided()


_open: set[HeldEvents] = set()
_left_behind: list[HeldEvents] = []
"""What a fork left behind: the connections are the parent's, and must not even be garbage collected."""
# A listener a transaction would cost more than all its events.
_watched: "weakref.WeakKeyDictionary[Connection, tuple[HeldEvents, int | None]]" = weakref.WeakKeyDictionary()
_listening: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def _before_rollback(connection: Connection) -> None:
    held, changes_before = _watched.pop(connection, (None, None))
    if held is not None:
        # A connection that broke at the commit rolls nothing back: the server may have committed.
        held.undone = held.undone or not connection.invalidated
        held.wrote = bool(held.wrote) or _wrote(connection, changes_before)


def session_of(db: object) -> Session | None:
    """Return the session behind what a helper was given as `db`; None for None.

    Raises:
        InvalidEvent: It is none of SQLAlchemy's sessions.
    """
    if db is None or isinstance(db, Session):
        return db
    if isinstance(db, scoped_session):
        return session_of(db.registry())
    # Importing it takes greenlet, which only an application with such sessions is sure to have.
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    if asyncio is not None and isinstance(db, asyncio.async_scoped_session):
        return session_of(db.registry())
    if asyncio is not None and isinstance(db, asyncio.AsyncSession):
        return cast(Session, db.sync_session)
    raise InvalidEvent("db", "a Session, AsyncSession, scoped_session or None", type(db).__name__)


def hold(session: Session, held_event: KpiEvent, recorder: Recorder) -> bool:
    """Hold an event until the session's open transaction is decided; return False if it has none.

    In a hook that runs after the commit there is none any more; where a failed flush has rolled back already,
    and the session waits for its `rollback()`, the event is discarded.
    """
    root = session.get_transaction()
    if root is None:
        return False
    transaction = session.get_nested_transaction() or root
    if not transaction.is_active:
        # No public attribute tells one that was committed from one that was rolled back.
        state = getattr(transaction, "_state", None)
        if state is SessionTransactionState.COMMITTED and transaction is root:
            return False
        if state is SessionTransactionState.DEACTIVE:
            recorder.discard(1, names.DISCARD_ROLLBACK)
            return True
    held: HeldEvents | None = session.info.get(_HELD)
    if held is None:
        held = session.info[_HELD] = HeldEvents(session, recorder)
        _open.add(held)
        changes: Mapping[Connection, int] = session.info.get(_CHANGES, {})
        # No public attribute tells a running transaction's connections without opening one.
        for key in list(getattr(root, "_connections", ())):
            if isinstance(key, Connection):
                held.watch(key, changes.get(key))
    held.add(transaction, held_event)
    return True


def abandoned() -> list[HeldEvents]:
    """Return what sessions held that are gone, or overtaken; it is for the drain to decide, in its thread."""
    return [held for held in tuple(_open) if held.overtaken or held.session() is None]


def overtake() -> bool:
    """Have what open sessions hold decided, for the process ends; return whether there is anything to decide.

    What a thread holds that runs on is left to it: it may commit yet.
    """
    running = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    for held in tuple(_open):
        held.overtaken = held.thread not in running
    return bool(abandoned())


def abandon_in_child() -> None:
    """Let go of the parent's sessions after a fork: what they hold is the parent's to decide."""
    _left_behind.extend(_open)
    _open.clear()


def install() -> None:
    """Listen to every session of the process; one that never emits costs a few look-ups a transaction."""
    for name, listener in _LISTENERS.items():
        if not event.contains(Session, name, listener):
            event.listen(Session, name, listener)


def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if transaction.nested:
        return  # what its savepoint has around it may have written
    changes = _changes(connection)
    if changes is not None:
        session.info.setdefault(_CHANGES, weakref.WeakKeyDictionary())[connection] = changes
    held: HeldEvents | None = session.info.get(_HELD)
    if held is not None and connection not in held.connections:
        held.watch(connection, changes)


def _before_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    _flush(session)
    held: HeldEvents | None = session.info.get(_HELD)
    if held is None:
        return
    if any(held.levels.values()):
        pending = held.take()
        held.levels[_AT_COMMIT] = pending
        held.recorder = held.recorder.heir()
        if held.recorder.insert(session, pending):
            held.inserted += held.levels.pop(_AT_COMMIT)


def _after_commit(session: Session) -> None:
    held: HeldEvents | None = session.info.get(_HELD)
    if held is None or session.in_nested_transaction():
        return
    inserted, held.inserted = held.inserted, []
    held.recorder.publish(inserted)
    held.recorder.record_now(held.take())


def _after_rollback(session: Session) -> None:
    held: HeldEvents | None = session.info.get(_HELD)
    if held is None:
        return
    nested = session.get_nested_transaction()
    if nested is not None:
        held.discard(len(held.levels.pop(id(nested), ())), names.DISCARD_ROLLBACK)
    else:
        inserted, held.inserted = held.inserted, []
        held.end_inserted(inserted)
        held.discard(len(held.take()), names.DISCARD_ROLLBACK)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    held: HeldEvents | None = session.info.get(_HELD)
    if held is None:
        return
    if transaction.parent is not None:
        # A released savepoint's events belong to what is around it; a closed one's are decided with it.
        for kept in held.levels.pop(id(transaction), ()):
            held.add(_enclosing(transaction), kept)
        return
    del session.info[_HELD]
    _open.discard(held)
    held.end_undecided()


def _flush(session: Session) -> None:
    """Flush until nothing is left: what a flush emits must be in the insert.

    SQLAlchemy does the same after the hooks before a commit.
    """
    # What is public takes four times as long to say what is left, and says nothing of a flush under way.
    if getattr(session, "_flushing", False):
        return
    for _ in range(_MAX_FLUSHES):
        session.flush()
        if getattr(session, "_is_clean", lambda: True)():
            return


def _enclosing(transaction: SessionTransaction) -> SessionTransaction:
    parent = transaction.parent
    while parent is not None and parent.parent is not None and not parent.nested:
        parent = parent.parent
    return parent or transaction


def _changes(connection: Connection) -> int | None:
    """Return SQLite's count of rows changed on this connection so far; None on other databases."""
    if connection.dialect.name != "sqlite":
        return None
    return getattr(connection.connection.driver_connection, "total_changes", None)


def _wrote(connection: Connection, changes_before: int | None) -> bool:
    """Return whether the connection's open transaction has written; True where that cannot be known.

    SQLite opens a transaction at the first write (unless the application does so itself) and counts changed
    rows; some errors, as of a full disk, have it undo a transaction by itself. PostgreSQL gives a transaction
    an id once it writes or locks a row.
    """
    try:
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            shared = isinstance(connection.engine.pool, _SHARING)
            if (shared or changes_before is None) and not driver.in_transaction:
                return False  # what another session changed on this connection was committed
            return changes_before is None or bool(driver.total_changes > changes_before)
        if connection.dialect.name == "postgresql":
            cursor = connection.connection.cursor()
            try:
                cursor.execute("SELECT txid_current_if_assigned() IS NOT NULL")
                return bool(cursor.fetchone()[0])  # type: ignore[index]
            finally:
                cursor.close()
    except Exception:  # an aborted or broken transaction cannot be asked
        _log.debug("a transaction could not be asked whether it wrote", exc_info=True)
    return True


_LISTENERS: dict[str, Callable[..., None]] = {
    "after_begin": _after_begin,
    "before_commit": _before_commit,
    "after_commit": _after_commit,
    "after_rollback": _after_rollback,
    "after_transaction_end": _after_transaction_end,
}
