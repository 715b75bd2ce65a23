"""Waiting for a table on PostgreSQL without keeping its writers waiting."""

import time
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from golive.errors import GoliveError

_TRIES: Final = 30
_LOCK_TIMEOUT_MS: Final = 200
"""How long writers wait behind the lock at each try."""
_VACUUM_MS: Final = 1_300
"""How long a vacuum alone is waited for: PostgreSQL cancels an autovacuum that is in the way for a second."""
_PAUSE_S: Final = 0.5
_TRY_AGAIN: Final = {"55P03", "40P01"}
"""A lock was not granted in time; a deadlock."""


def keep_writers_out(connection: Connection, table: str) -> None:
    """Let nobody else write to a table until the end of the transaction.

    Writers wait while that is waited for as well; so it is given up soon, and tried again later.

    Raises:
        GoliveError: Somebody wrote to the table all the time.
    """
    for _ in range(_TRIES):
        try:
            with connection.begin_nested():
                for statement in (
                    f"SET LOCAL lock_timeout = {_VACUUM_MS}",
                    f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE",  # no writer waits behind this
                    f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
                    f"LOCK TABLE {table} IN SHARE MODE",
                    "SET LOCAL lock_timeout TO DEFAULT",
                ):
                    connection.exec_driver_sql(statement)
                return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _TRY_AGAIN:
                raise
        time.sleep(_PAUSE_S)
    raise GoliveError(
        f"{table} was in use by long transactions at each of {_TRIES} tries to upgrade it; nothing was "
        "changed: run `golive db upgrade` again later"
    )
