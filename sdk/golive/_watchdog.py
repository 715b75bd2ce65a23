"""Bounds how long a connection of an engine may be in use, whatever the server at its other end does.

A server that takes a statement and never answers would hold a thread for ever: no timeout of libpq ends the
wait, and one of the server's own needs a server that works. So, at the deadline, a timer shuts the socket
down under the driver, which then raises an ordinary `OperationalError`.
"""

import contextlib
import socket
import sqlite3
import threading
import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

_TIMER = "golive_watchdog"
_NO_SUCH_SETTING = ("42704", "22023")
"""Before PostgreSQL 14, and on systems that cannot tell."""


def bound_checkouts(engine: Engine, deadline_s: float) -> None:
    """End every use of a connection of this engine `deadline_s` seconds after its checkout.

    A pooled connection is tried first, under the same deadline, and replaced if it is dead.
    """

    @event.listens_for(engine, "checkout")
    def _start(connection: Any, record: Any, _proxy: object) -> None:
        deadline = time.monotonic() + deadline_s
        timer = threading.Timer(deadline_s, _cut, (connection,))
        timer.daemon = True
        timer.name = "golive-watchdog"
        timer.start()
        record.info[_TIMER] = timer
        if engine.dialect.name == "postgresql":
            try:
                _try(connection)
            except Exception as error:
                timer.cancel()
                if time.monotonic() < deadline:  # dead, not hanging: so may be the others of the pool
                    raise InvalidatePoolError from error
                raise

    @event.listens_for(engine, "checkin")
    def _stop(_connection: Any, record: Any) -> None:
        timer = record.info.pop(_TIMER, None)
        if timer is not None:
            timer.cancel()


def _try(connection: Any) -> None:
    try:
        with connection.cursor() as cursor:
            # In milliseconds. Else a statement that waits for a lock is done for a client that has been cut.
            cursor.execute("SET client_connection_check_interval = 500")
    except Exception as error:
        if getattr(error, "sqlstate", None) not in _NO_SUCH_SETTING:
            raise
    connection.commit()


def _cut(connection: Any) -> None:
    # A connection that ended meanwhile has nothing to cut.
    with contextlib.suppress(Exception):
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()
            return
        # Of a duplicate: to close the driver's own descriptor here could hit one opened since.
        with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
