"""Bounds how long a connection of an engine may be in use, whatever the server at its other end does.

A server that takes a statement and never answers would hold a thread for ever: no timeout of libpq ends the
wait, and one of the server's own needs a server that works. So, at the deadline, a thread shuts the socket
down under the driver, which then raises an ordinary `OperationalError`.
"""

import contextlib
import math
import os
import select
import socket
import sqlite3
import threading
import time
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

_USED: Final = "golive_used_at"
_PROVEN_S: Final = 1.0
"""A connection used so lately, with nothing to be read from it, is taken for one that works."""
_LOOK_EVERY_S: Final = 0.05
_NO_SUCH_SETTING: Final = ("42704", "22023")
"""Before PostgreSQL 14, and on systems that cannot tell."""


def bound_checkouts(engine: Engine, deadline_s: float) -> None:
    """End every use of a connection of this engine `deadline_s` seconds after its checkout.

    A pooled connection is tried first, under the same deadline, and replaced if it is dead.
    """

    @event.listens_for(engine, "checkout")
    def _start(connection: Any, record: Any, _proxy: object) -> None:
        deadline = time.monotonic() + deadline_s
        _watch.begin(record, connection, deadline)
        if engine.dialect.name != "postgresql" or _is_proven(connection, record):
            return
        try:
            _try(connection)
        except Exception as error:
            _watch.end(record)
            if time.monotonic() < deadline:  # dead, not hanging: so may be the others of the pool
                raise InvalidatePoolError from error
            raise

    @event.listens_for(engine, "checkin")
    def _stop(_connection: Any, record: Any) -> None:
        _watch.end(record)
        record.info[_USED] = time.monotonic()


class _Watch:
    """The connections in use and their deadlines, and the thread that cuts those that are past theirs.

    One thread for all, which sleeps while none is in use: to start a thread costs more than a checkout.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_use: dict[Any, tuple[float, Any]] = {}
        self._any = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, record: Any, connection: Any, deadline: float) -> None:
        """Cut the connection at the deadline, a reading of the monotonic clock, unless its use has ended."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="golive-watchdog", daemon=True)
                thread.start()
                self._thread = thread  # only now, for the system may have no room for it
            self._in_use[record] = (deadline, connection)
            if not self._any.is_set():
                self._any.set()

    def end(self, record: Any) -> None:
        """Note that the connection is in use no more."""
        with self._lock:
            self._in_use.pop(record, None)

    def _run(self) -> None:
        while True:
            self._any.wait()
            now = time.monotonic()
            with self._lock:  # a use must not end, and another begin, between the look and the cut
                for record, (deadline, connection) in list(self._in_use.items()):
                    if deadline <= now:
                        del self._in_use[record]
                        _cut(connection)
                if not self._in_use:
                    self._any.clear()
            time.sleep(_LOOK_EVERY_S)


_watch = _Watch()
os.register_at_fork(after_in_child=lambda: _watch.__init__())  # type: ignore[misc]  # threads do not survive


def _is_proven(connection: Any, record: Any) -> bool:
    if time.monotonic() - record.info.get(_USED, -math.inf) > _PROVEN_S:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)  # a server that went away has left an end of file


def _try(connection: Any) -> None:
    autocommit = connection.autocommit
    connection.autocommit = True  # one way there and back, not three
    try:
        with connection.cursor() as cursor:
            # In milliseconds. Else a statement that waits for a lock is done for a client that has been cut.
            cursor.execute("SET client_connection_check_interval = 500")
    except Exception as error:
        if getattr(error, "sqlstate", None) not in _NO_SUCH_SETTING:
            raise
    connection.autocommit = autocommit


def _cut(connection: Any) -> None:
    # A connection that ended meanwhile has nothing to cut.
    with contextlib.suppress(Exception):
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()
            return
        # Of a duplicate: to close the driver's own descriptor here could hit one opened since.
        with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
