"""The audit trail of governance acts: append-only, each row carries the hash of the one before it.

with governance.acting(db) as connection:
    ...                                                  # the change itself
    audit.append(connection, actor="token:ops", action="go_live.enable", before=…, after=…, reason="week 1")

audit.verify(db)                                         # what `golive audit verify` does

A row altered, deleted or moved no longer fits its neighbours; `governance_audit_head` holds the end of the
chain, so that rows missing there are found as well. What this cannot find is a chain that somebody with the
right to write computed anew, or cut short with its head: keep the role golive uses for itself, and the length
and the hash that `golive audit verify` prints somewhere else.
"""

import datetime as dt
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from golive import database, governance
from golive.correlation import current_correlation_id, current_trace_id
from golive.errors import SchemaError
from golive.models import GovernanceAudit, GovernanceAuditHead
from golive.models.base import utc_now

__all__ = [
    "GENESIS",
    "Entry",
    "Verification",
    "append",
    "entries",
    "last_verification",
    "verify",
    "verify_tail",
]

_log = logging.getLogger(__name__)

GENESIS: Final = "0" * 64
"""What stands for the hash of the row before the first."""

_VERIFY_DEADLINE_S = 600.0
_SAFE_INTEGER = 2**53

_row = GovernanceAudit
_head = GovernanceAuditHead


class Entry(NamedTuple):
    """One act."""

    id: int
    actor: str
    action: str
    target: str | None
    ok: bool
    before: Any
    after: Any
    reason: str | None
    correlation_id: str | None
    trace_id: str | None
    created_at: dt.datetime
    prev_hash: str
    hash: str


class Verification(NamedTuple):
    """What looking at the chain found.

    Attributes:
        rows: How many rows were looked at.
        last_hash: Hash of the last row.
        broken_id: The first row that does not fit; None for an intact chain.
        problem: What is wrong with it.
        at: When.
    """

    rows: int
    last_hash: str
    broken_id: int | None
    problem: str | None
    at: dt.datetime

    @property
    def ok(self) -> bool:
        """Whether the chain is intact."""
        return self.broken_id is None


def append(
    connection: Connection,
    *,
    actor: str,
    action: str,
    target: str | None = None,
    ok: bool = True,
    before: Any = None,
    after: Any = None,
    reason: str | None = None,
    stops: bool = False,
) -> None:
    """Append an act to the chain, in the transaction of `governance.acting`.

    Args:
        connection: From `governance.acting`, which lets one writer in at a time.
        actor: Who, as the credential says.
        action: What, as `go_live.enable`.
        target: Of what.
        ok: False for an attempt that was refused.
        before, after: The state before and after, as JSON has it; a Decimal or a time becomes text.
        reason: Why.
        stops: Whether the act stops or slows production. A trail so damaged that it takes no further row does
            not keep it from happening then: it is in the log instead, and the runbook has its blocker.
    """
    act = {
        "actor": actor,
        "action": action,
        "target": target,
        "ok": ok,
        "before": _plain(before),
        "after": _plain(after),
        "reason": reason,
    }
    if not stops:
        _append(connection, act)
        return
    try:
        with connection.begin_nested():
            _append(connection, act)
    except Exception:  # what is read from a damaged row can be anything
        if connection.invalidated:
            raise  # without its connection nothing can be done
        if connection.dialect.name == "sqlite" and not database.sqlite_in_transaction(connection):
            raise  # SQLite undid all of it by itself, as after some errors of a disk
        _log.exception("%s, which the audit trail cannot take: %s", action, ascii(act))


def _append(connection: Connection, act: dict[str, Any]) -> None:
    head = connection.execute(select(_head.last_id, _head.last_hash).where(_head.id == 1)).one_or_none()
    if head is None:
        raise SchemaError("governance_audit_head has lost its row: restore it from a backup")
    values = act | {
        "id": head.last_id + 1,
        "correlation_id": current_correlation_id(),
        "trace_id": current_trace_id(),
        "created_at": governance.now_of(connection),
        "prev_hash": head.last_hash,
    }
    values["hash"] = _hash(values)
    connection.execute(insert(_row).values(values))
    connection.execute(
        update(_head).where(_head.id == 1).values(last_id=values["id"], last_hash=values["hash"])
    )


def entries(
    connection: Connection,
    *,
    limit: int,
    before_id: int | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    ok: bool | None = None,
) -> list[Entry]:
    """Return the latest acts, the newest first; what is None does not narrow.

    Args:
        connection: To read from.
        limit: How many at most.
        before_id: Those before this one.
        since, until: When; `since` is included, `until` is not.
        actor, target: Of whom, and of what, exactly.
        action: What; `regression_policy` for all that begin with it and a dot.
        ok: Whether it was done, or refused.
    """
    query = select(*_row.__table__.columns).order_by(_row.id.desc()).limit(limit)
    narrowing: list[tuple[Any, Callable[[Any], Any]]] = [
        (before_id, lambda given: _row.id < given),
        (since, lambda given: _row.created_at >= given),
        (until, lambda given: _row.created_at < given),
        (actor, lambda given: _row.actor == given),
        (action, _begins_with),
        (target, lambda given: _row.target == given),
        (ok, lambda given: _row.ok.is_(given)),
    ]
    for given, condition in narrowing:
        if given is not None:
            query = query.where(condition(given))
    return [_entry(row) for row in connection.execute(query)]


def _begins_with(action: str) -> ColumnElement[bool]:
    return (_row.action == action) | _row.action.startswith(f"{action}.", autoescape=True)


def verify(db: object = None) -> Verification:
    """Check the whole chain, and note the result for the runbook.

    Raises:
        SchemaError: The tables are missing.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read.
    """
    with governance.snapshot(db, _VERIFY_DEADLINE_S) as connection:
        found = _naming_unreadable(connection, _verify_all)
    with governance.acting(db) as connection:
        noted = {"broken_id": found.broken_id, "problem": found.problem, "verified_at": found.at}
        if found.ok:
            noted["verified_id"] = found.rows
        connection.execute(update(_head).where(_head.id == 1).values(noted))
    return found


def verify_tail(connection: Connection, length: int) -> Verification:
    """Check the last `length` rows and the end of the chain, in a `governance.snapshot`."""

    def look(connection: Connection) -> Verification:
        oldest_first = entries(connection, limit=length + 1)[::-1]
        if len(oldest_first) <= length:
            return _walk(oldest_first, 1, GENESIS, _end(connection))
        return _walk(oldest_first[1:], oldest_first[0].id + 1, oldest_first[0].hash, _end(connection))

    return _naming_unreadable(connection, look)


def last_verification(connection: Connection) -> tuple[int, int, Verification | None]:
    """Return the id of the last row, up to which row the chain was verified, and what was found last."""
    head = connection.execute(select(_head.__table__).where(_head.id == 1)).one_or_none()
    if head is None:
        return 0, 0, None
    if head.verified_at is None:
        return head.last_id, 0, None
    found = Verification(head.verified_id, head.last_hash, head.broken_id, head.problem, head.verified_at)
    return head.last_id, head.verified_id, found


def _verify_all(connection: Connection) -> Verification:
    end = _end(connection)
    query = select(*_row.__table__.columns).order_by(_row.id)
    with connection.execute(query, execution_options={"yield_per": 1000}) as rows:
        return _walk(map(_entry, rows), 1, GENESIS, end)


def _end(connection: Connection) -> Row[int, str, int] | None:
    query = select(_head.last_id, _head.last_hash, _head.verified_id).where(_head.id == 1)
    return connection.execute(query).one_or_none()


def _naming_unreadable(connection: Connection, look: Callable[[Connection], Verification]) -> Verification:
    """Return what `look` finds; where SQLite holds a value that is none of its column's, name its row."""
    try:
        return look(connection)
    except (TypeError, ValueError):
        whole_row = select(*_row.__table__.columns)
        for row_id in connection.scalars(select(_row.id).order_by(_row.id)).all():
            try:
                connection.execute(whole_row.where(_row.id == row_id)).one()
            except (TypeError, ValueError):
                problem = "it holds a value that cannot be read: it was altered"
                return Verification(0, GENESIS, row_id, problem, utc_now())
        raise


def _walk(
    rows: Iterable[Entry], first_id: int, prev_hash: str, head: Row[int, str, int] | None
) -> Verification:
    """Follow the chain; `first_id` and `prev_hash` are what the first row has to have."""
    expected, count = first_id, 0
    for broken_id, problem, entry in _steps(rows, first_id, prev_hash):
        if problem is not None:
            return Verification(count, prev_hash, broken_id, problem, utc_now())
        expected, prev_hash, count = entry.id + 1, entry.hash, count + 1
    if head is None:
        return Verification(count, prev_hash, expected, "governance_audit_head has lost its row", utc_now())
    if head.last_id >= expected:
        problem = f"rows {expected} to {head.last_id} are missing at the end of the chain"
        return Verification(count, prev_hash, expected, problem, utc_now())
    if head.last_id != expected - 1 or head.last_hash != prev_hash:
        problem = "it is the last row, but not the one governance_audit_head names"
        return Verification(count, prev_hash, expected - 1, problem, utc_now())
    if head.verified_id > head.last_id:
        problem = f"rows {expected} to {head.verified_id} were verified once, and are missing now"
        return Verification(count, prev_hash, expected, problem, utc_now())
    return Verification(count, prev_hash, None, None, utc_now())


def _steps(rows: Iterable[Entry], expected: int, prev_hash: str) -> Iterator[tuple[int, str | None, Entry]]:
    for entry in rows:
        if entry.id != expected:
            problem: str | None = f"it is missing: row {entry.id} comes instead"
        elif entry.prev_hash != prev_hash:
            problem = "its prev_hash is not the hash of the row before it"
        elif entry.hash != _hash(entry._asdict()):
            problem = "its content does not have its hash: it was altered"
        else:
            problem = None
        yield expected, problem, entry
        expected, prev_hash = entry.id + 1, entry.hash


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{name: row._mapping[name] for name in Entry._fields})


def _hash(values: dict[str, Any]) -> str:
    content = [
        values["created_at"].isoformat() if name == "created_at" else _canonical(values[name])
        for name in Entry._fields
        if name != "hash"
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Return a JSON value in a form that both databases give back: JSONB turns 1e22 into an integer."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if abs(value) < _SAFE_INTEGER and value == int(value) else float(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
