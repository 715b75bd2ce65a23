"""A decision of a lever within the caller's transaction, or within one of its own.

    with joined(db) as work:
        work.all_or_none(statements, parameters)       # shares the fate of the caller's transaction

    apart(db, write)                                   # what stays although the caller rolls back

`db` is a SQLAlchemy session, which is joined, or whatever else `golive.governance` takes, for a transaction
of its own that is committed at the end of the block.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import localcontext
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    URL,
    BindParameter,
    Connection,
    Date,
    Engine,
    Select,
    TextClause,
    bindparam,
    event,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from golive import _prepared, database, governance
from golive.errors import InvalidArgument
from golive.models.base import EXACT, Json, Money, UtcDateTime

__all__ = ["Work", "apart", "joined"]

_log = logging.getLogger(__name__)

_WAITING: Final = "golive.apart"
_NO_ROW: Final = "22012"
"""Of a division by zero."""
_OVERTAKEN: Final = "40001"
"""Of a serialization failure."""
_TYPES: Final = {
    "amount": Money,
    "loss": Money,
    "day": Date,
    "now": UtcDateTime,
    "expires_at": UtcDateTime,
    "detail": Json,
}
"""Types of parameters, by the end of their name; a driver knows the others by itself."""


class Work:
    """A transaction under way.

    Attributes:
        connection: For reading, and for single statements.
        own: Whether it is golive's; otherwise it is a part of the caller's, which may go on for long.
    """

    def __init__(self, connection: Connection, *, own: bool) -> None:
        self.connection = connection
        self.own = own
        self._directly = own and connection.dialect.name == "postgresql"

    def rows(self, query: Select[Any], parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows of a query.

        Args:
            query: Built once: it is kept, compiled.
            parameters: The values of all its parameters.
        """
        if self._directly:
            return _prepared.execute(self.connection, query, parameters)
        return self.connection.execute(query, parameters).all()

    def all_or_none(self, statements: Sequence[str], parameters: dict[str, Any]) -> bool:
        """Execute statements, each of which must touch a row, or none of them; return whether they did.

        On PostgreSQL they go as one, so that the rows they lock stay locked for no round trip but the
        commit's, and in a transaction of golive's own not even for that. Each waits for the one before it.

        Args:
            statements: `UPDATE … WHERE …` and `INSERT … SELECT … WHERE …`, with named parameters.
            parameters: The values of all their parameters.

        Raises:
            sqlalchemy.exc.DBAPIError: As the database says; nothing was done.
        """
        if self.connection.dialect.name != "postgresql":
            return self._one_by_one(statements, parameters)
        statement = _as_one(tuple(statements))
        try:
            if self._directly:
                _prepared.execute(self.connection, statement, parameters)
            else:
                with self.connection.begin_nested():
                    self.connection.execute(statement, parameters)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", getattr(error.orig, "pgcode", None))
            # Where the database's default isolation is a stricter one, the next statement sees more.
            if state == _NO_ROW or (state == _OVERTAKEN and self.own):
                return False
            raise
        return True

    @contextmanager
    def several(self) -> Iterator[Connection]:
        """Give a connection on which further statements are all done, or none of them."""
        if not self._directly:
            with self.connection.begin_nested():
                yield self.connection
            return
        # On the same connection: threads that each wait for a second one would wait for each other.
        self.connection.exec_driver_sql("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            governance.bound_idleness(self.connection)
            yield self.connection
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise

    def _one_by_one(self, statements: Sequence[str], parameters: dict[str, Any]) -> bool:
        with contextlib.suppress(_NoRow), self.connection.begin_nested():
            for statement in statements:
                clause = _typed(statement)
                wanted = {name: parameters[name] for name in clause.compile().params}
                if self.connection.execute(clause, wanted).rowcount < 1:
                    raise _NoRow
            return True
        return False


class _NoRow(Exception):
    """A statement touched no row."""


@contextmanager
def joined(db: object) -> Iterator[Work]:
    """Give the transaction to work in: the session's, or an own one, committed when the block ends.

    In the block arithmetic of amounts is exact.

    Raises:
        InvalidArgument: `db` is an asynchronous session.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be reached; an own transaction waits no longer
            than the deadline.
    """
    with localcontext(EXACT):  # whatever the application's own context is
        session = _session_of(db)
        if session is None:
            with governance.engine_for(db, lane="decisions").connect() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield Work(connection, own=True)
                connection.commit()
            return
        connection = session.connection()
        if connection.dialect.name == "sqlite" and not database.sqlite_in_transaction(connection):
            # At once: a savepoint that comes first would be a transaction, and its release the commit.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield Work(connection, own=False)


def apart(db: object, write: Callable[[Work], None]) -> None:
    """Write in a transaction of golive's own, whatever becomes of the caller's; log it if that fails.

    Where the caller's transaction holds locks, which such a write could wait for, it comes right after its
    end; or, where the session is bound to a connection whose transaction goes on, within that.
    """
    session = _session_of(db)
    if session is None:
        _write(db, write)
        return
    url, bind = governance.url_of(session), session.get_bind()
    if _may_hold_locks(session.connection()):
        session.info.setdefault(_WAITING, []).append(lambda: _write_after(bind, url, write))
        if not event.contains(Session, "after_transaction_end", _after_transaction_end):
            event.listen(Session, "after_transaction_end", _after_transaction_end)
    else:
        _write(url, write)


def _write(db: object, write: Callable[[Work], None]) -> None:
    try:
        with joined(db) as work:
            write(work)
    except Exception:  # the caller is told of its own error, not of this one
        _log.exception("what a lever decided could not be recorded")


def _write_after(bind: Engine | Connection, url: URL, write: Callable[[Work], None]) -> None:
    if not isinstance(bind, Connection) or not bind.in_transaction():
        _write(url, write)
        return
    # The session was a part of a longer transaction, which keeps its locks: only there is nothing in the way.
    try:
        with bind.begin_nested():
            write(Work(bind, own=False))
    except Exception:
        _log.exception("what a lever decided could not be recorded")


def _session_of(db: object) -> Session | None:
    if hasattr(db, "sync_session"):
        raise InvalidArgument(
            "db", "a synchronous session: await db.run_sync(lambda db: …)", type(db).__name__
        )
    if hasattr(db, "registry") and callable(db.registry):
        db = db.registry()
    return db if isinstance(db, Session) else None


def _may_hold_locks(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return database.sqlite_in_transaction(connection)
    # Any row it has locked, the application's too: who waits for that one may have the ledgers.
    return bool(connection.scalar(text("SELECT txid_current_if_assigned() IS NOT NULL")))


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        for write in session.info.pop(_WAITING, ()):
            write()


@lru_cache(maxsize=64)
def _typed(statement: str) -> TextClause:
    clause = text(statement)
    return clause.bindparams(*map(_parameter, clause.compile().params))


@lru_cache(maxsize=64)
def _as_one(statements: tuple[str, ...]) -> TextClause:
    """Return PostgreSQL's one statement for several; it fails where one of them touches no row.

    Data-modifying statements in `WITH` run in no order but that of their dependencies: so each asks whether
    the one before it has touched a row.
    """
    parts = [f"s0 AS ({statements[0]} RETURNING 1)"]
    for number, statement in enumerate(statements[1:], 1):
        parts.append(f"s{number} AS ({statement} AND EXISTS (SELECT FROM s{number - 1}) RETURNING 1)")
    # An error undoes the whole statement, which a count that the client looks at would not.
    return _typed(f"WITH {', '.join(parts)} SELECT 1 / count(*) FROM s{len(statements) - 1}")  # noqa: S608


def _parameter(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=next((type_ for end, type_ in _TYPES.items() if name.endswith(end)), None))
