"""The ledgers: what each engine, and all together, have used of their caps.

An engine has one row a day, and one of them is current: the last. Exposure, losses, actions and denials
belong to the day they were booked on; open risk is a balance, kept in the current row and carried over when
a new day begins. Whoever changes ledgers changes those of `GLOBAL` first, so that nobody waits in a circle.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from golive.joining import Work
from golive.models import RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation
from golive.models.base import EXACT, UtcDateTime, utc_now
from golive.models.risk import GLOBAL
from golive.risk.policy import POLICIES, Limits, RiskPolicyView

_EXPIRED_AT_ONCE: Final = 500
_ZERO: Final = Decimal("0.00")

_ledger = RiskLedgerDay
_reservation = RiskReservation


class Ledger(NamedTuple):
    """What an engine has used on a day."""

    engine: str
    day: dt.date
    exposure_used: Decimal = _ZERO
    open_risk_reserved: Decimal = _ZERO
    realized_loss: Decimal = _ZERO
    actions_count: int = 0
    denials: int = 0


class Book(NamedTuple):
    """The policy of an engine and its ledger of today; no policy, no action."""

    engine: str
    policy: RiskPolicyView | None
    ledger: Ledger

    def room(self) -> Limits:
        """Return what is left under each cap: None where there is none, nothing without a policy."""
        if self.policy is None:
            return Limits(_ZERO, _ZERO, _ZERO, 0)
        limits, ledger = self.policy.limits(), self.ledger
        return Limits(
            _left(limits.max_daily_loss, ledger.realized_loss),
            _left(limits.max_daily_exposure, ledger.exposure_used),
            _left(limits.max_open_risk, ledger.open_risk_reserved),
            None
            if limits.max_actions_per_day is None
            else max(limits.max_actions_per_day - ledger.actions_count, 0),
        )


class Reading(NamedTuple):
    """What a decision needs to know.

    Attributes:
        now: The time it is decided by.
        books: That of `GLOBAL`, and that of the engine.
        day: Today, in the zone of `GLOBAL`; or the ledgers' last day, where that is later.
        begun: Whether both ledgers have reached that day.
        due: Whether reservations have expired that still count as open.
    """

    now: dt.datetime
    books: tuple[Book, Book]
    day: dt.date
    begun: bool
    due: bool


_LEDGER_COLUMNS: Final = tuple(getattr(_ledger, name) for name in Ledger._fields)
_given: Final = bindparam("now", type_=UtcDateTime)


def _overdue(at: ColumnElement[dt.datetime]) -> ColumnElement[bool]:
    return and_(_reservation.status == "open", _reservation.expires_at <= at)


def _of_engines(at: ColumnElement[dt.datetime]) -> Select[Any]:
    due = exists().where(_overdue(at))
    of_policy = and_(_ledger.engine == RiskPolicy.engine, _ledger.is_current)
    return (
        select(*POLICIES.columns, *_LEDGER_COLUMNS, at, due)
        .select_from(RiskPolicy)
        .join(_ledger, of_policy, isouter=True)
    )


_OF_ENGINES: Final = _of_engines(_given)
_OF_TWO: Final = {
    name: _of_engines(at).where(RiskPolicy.engine.in_([GLOBAL, bindparam("engine")]))
    for name, at in {
        "sqlite": _given,
        "postgresql": func.coalesce(_given, func.statement_timestamp(), type_=UtcDateTime),
    }.items()
}
_DUE_BY_ENGINE: Final = (
    select(_reservation.engine, func.sum(_reservation.amount))
    .where(_overdue(_given))
    .group_by(_reservation.engine)
)


_CURRENT_OF_ALL: Final = select(_ledger.id).where(_ledger.engine == GLOBAL, _ledger.is_current)
_LOCK: Final = _CURRENT_OF_ALL.with_for_update(key_share=True)
_LOCK_IF_FREE: Final = _CURRENT_OF_ALL.with_for_update(key_share=True, skip_locked=True)


def read(work: Work, engine: str, now: dt.datetime | None = None) -> Reading:
    """Return what a decision about `engine` needs to know.

    Args:
        work: The transaction.
        engine: Whose.
        now: What time it is. None for that of the database, which is one for all who book: one of them whose
            clock is ahead would give free what others have open, and begin a day that is not due.
    """
    kind = work.connection.dialect.name
    if kind == "sqlite" and now is None:
        now = utc_now()  # a file is of one machine
    rows = work.rows(_OF_TWO[kind], {"engine": engine, "now": now})
    now = rows[0][-2] if rows else now or utc_now()
    found = {row[0]: _split(row) for row in rows}
    policy, last = found.get(GLOBAL, (None, None))
    own_policy, own_last = found.get(engine, (None, None))
    day = _today(now, policy, last, own_last)
    return Reading(
        now,
        (_book(GLOBAL, policy, last, day), _book(engine, own_policy, own_last, day)),
        day,
        last is not None and own_last is not None and last.day == own_last.day == day,
        any(row[-1] for row in rows),
    )


def books(connection: Connection, now: dt.datetime) -> list[Book]:
    """Return the books of today, `GLOBAL` first; what has expired meanwhile is not open any more."""
    rows = connection.execute(_OF_ENGINES, {"now": now}).all()
    found = {row[0]: _split(row) for row in rows}
    policy, last = found.get(GLOBAL, (None, None))
    day = _today(now, policy, last)
    expired = {row[0]: row[1] for row in connection.execute(_DUE_BY_ENGINE, {"now": now})}
    made = []
    with localcontext(EXACT):
        expired[GLOBAL] = sum(expired.values(), _ZERO)
        for engine in sorted(found, key=lambda name: (name != GLOBAL, name)):
            book = _book(engine, *found[engine], day)
            balance = book.ledger.open_risk_reserved - expired.get(engine, _ZERO)
            made.append(book._replace(ledger=book.ledger._replace(open_risk_reserved=balance)))
    return made


def begin_day(work: Work, engines: Sequence[str], day: dt.date, now: dt.datetime) -> None:
    """Make the current ledgers of engines those of `day`, open risk carried over; nothing if overtaken."""
    with suppress(_Overtaken), work.several() as connection:
        for engine in engines:
            current = _lock_current(connection, engine)
            if current is not None and current.day >= day:
                continue
            balance = _ZERO
            if current is not None:
                balance = current.open_risk_reserved
                connection.execute(update(_ledger).where(_ledger.id == current.id).values(is_current=False))
            begun = connection.execute(
                _BEGIN, {"day": day, "engine": engine, "open_risk_reserved": balance, "updated_at": now}
            )
            if begun.rowcount < 1:
                raise _Overtaken


def lock(work: Work) -> bool:
    """Have the ledgers for the rest of the caller's transaction; return whether nobody else had them.

    Where somebody had, who waited knows what was true before: a policy may have been tightened meanwhile. In
    a transaction of golive's own, which waits no longer than its deadline, and on SQLite nothing is done.
    """
    if work.own or work.connection.dialect.name == "sqlite":
        return True
    if work.connection.scalar(_LOCK_IF_FREE) is not None:
        return True
    work.connection.scalar(_LOCK)
    return False


def expire(work: Work, now: dt.datetime) -> None:
    """Book the reservations that have expired, the oldest first; some hundreds at once."""
    with suppress(_Overtaken), work.several() as connection:
        # Every booking begins here, so that nobody else changes a reservation meanwhile.
        _lock_current(connection, GLOBAL)
        columns = (_reservation.id, _reservation.engine, _reservation.day, _reservation.amount)
        due = connection.execute(
            select(*columns, _reservation.correlation_id)
            .where(_overdue(_given))
            .order_by(_reservation.expires_at)
            .limit(_EXPIRED_AT_ONCE),
            {"now": now},
        ).all()
        if not due:
            return
        connection.execute(
            update(_reservation)
            .where(_reservation.id.in_([row.id for row in due]))
            .values(status="expired", closed_at=now)
        )
        released: dict[str, Decimal] = defaultdict(Decimal)
        for row in due:
            released[row.engine] += row.amount
            released[GLOBAL] += row.amount
        for engine in sorted(released, key=lambda name: (name != GLOBAL, name)):
            connection.execute(
                update(_ledger)
                .where(_ledger.engine == engine, _ledger.is_current)
                .values(open_risk_reserved=_ledger.open_risk_reserved - released[engine], updated_at=now)
            )
        connection.execute(insert(RiskEvent), [_expiry(row, now) for row in due])


class _Overtaken(Exception):
    """Another process has begun a day: what was locked is let go, and the caller looks again."""


def _lock_current(connection: Connection, engine: str) -> Any:
    """Lock the current ledger of an engine, and return it; None before the first day of all.

    Raises:
        _Overtaken: Another one became current while this waited. PostgreSQL has locked the row it waited for
            all the same, although that is current no more: to wait for anything else now could be to wait
            in a circle.
    """
    current = select(_ledger.id, _ledger.day, _ledger.open_risk_reserved).where(
        _ledger.engine == engine, _ledger.is_current
    )
    found = connection.execute(current.with_for_update()).one_or_none()
    if found is None and connection.execute(current).one_or_none() is not None:
        raise _Overtaken
    return found


_BEGIN: Final = text(
    "INSERT INTO risk_ledger_day (day, engine, open_risk_reserved, is_current, updated_at) "
    "VALUES (:day, :engine, :open_risk_reserved, true, :updated_at) ON CONFLICT DO NOTHING"
).bindparams(
    *(
        bindparam(name, type_=_ledger.__table__.c[name].type)
        for name in ("day", "open_risk_reserved", "updated_at")
    )
)


def _left(limit: Decimal | None, used: Decimal) -> Decimal | None:
    return None if limit is None else max(EXACT.subtract(limit, used), _ZERO)


def _split(row: Any) -> tuple[RiskPolicyView, Ledger | None]:
    columns = len(RiskPolicyView._fields)
    ledger = row[columns : columns + len(Ledger._fields)]
    return POLICIES.of(row[:columns]), Ledger(*ledger) if ledger[0] is not None else None


def _today(now: dt.datetime, policy: RiskPolicyView | None, *lasts: Ledger | None) -> dt.date:
    # A clock that is behind, a zone that was changed, or ledgers from before golive whose days were those of
    # another zone, do not open a day that is over.
    today = now.astimezone(policy.zone() if policy is not None else dt.UTC).date()
    return max([today, *(last.day for last in lasts if last is not None)])


def _book(engine: str, policy: RiskPolicyView | None, last: Ledger | None, day: dt.date) -> Book:
    if last is None:
        return Book(engine, policy, Ledger(engine, day))
    if last.day < day:
        return Book(engine, policy, Ledger(engine, day, open_risk_reserved=last.open_risk_reserved))
    return Book(engine, policy, last)


def _expiry(row: Any, now: dt.datetime) -> dict[str, Any]:
    return {
        "engine": row.engine,
        "day": row.day,
        "action": "EXPIRE",
        "amount": row.amount,
        "reservation_id": row.id,
        "correlation_id": row.correlation_id,
        "created_at": now,
    }
