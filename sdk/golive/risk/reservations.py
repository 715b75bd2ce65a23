"""Reservations: how one is asked for, found again, and told from another."""

import datetime as dt
import hashlib
import json
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, exists, func, null, or_, select

from golive import governance
from golive.correlation import current_correlation_id
from golive.errors import InvalidArgument
from golive.events import check_correlation_id
from golive.joining import Work
from golive.models import RiskLedgerDay, RiskReservation
from golive.models.base import UtcDateTime, utc_now
from golive.models.risk import GLOBAL
from golive.risk.money import check_amount
from golive.risk.policy import check_engine

DEFAULT_EXPIRY_S: Final = 3600.0
EXPIRY_MAX_S: Final = 366 * 86400.0
KEY_MAX: Final = 128
_model = RiskReservation


class Reservation(NamedTuple):
    """Risk set aside for one action.

    Attributes:
        id: Names it.
        day: Of the ledger it is booked in, and its loss will be.
        status: `open`, `settled`, `released` or `expired`.
        realized_loss: What was lost, once it is settled.
        expires_at: From when on it does not count as open any more.
    """

    id: int
    engine: str
    day: dt.date
    amount: Decimal
    status: str
    realized_loss: Decimal | None
    idempotency_key: str | None
    correlation_id: str | None
    actor: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


class Found(NamedTuple):
    """A reservation, and what a booking of what becomes of it needs to know.

    Attributes:
        global_today: Whether the current ledger of `GLOBAL` is that of the reservation's day.
        own_today: Whether that of its engine is.
        now: What time it is, by the clock that `ledger.read` decides by.
    """

    reservation: Reservation
    global_today: bool
    own_today: bool
    now: dt.datetime


_COLUMNS: Final = tuple(getattr(_model, name) for name in Reservation._fields)
_TODAY: Final = tuple(
    exists().where(RiskLedgerDay.engine == engine, RiskLedgerDay.is_current, RiskLedgerDay.day == _model.day)
    for engine in (GLOBAL, _model.engine)
)


class Request(NamedTuple):
    """What is asked for, checked.

    Attributes:
        fingerprint: Of what two requests under one key must have in common, hashed; None without a key.
    """

    engine: str
    amount: Decimal
    actor: str | None
    reason: str | None
    correlation_id: str | None
    idempotency_key: str | None
    expires_in: dt.timedelta
    fingerprint: str | None

    @classmethod
    def check(
        cls,
        engine: object,
        amount: object,
        actor: object,
        reason: object,
        correlation_id: object,
        idempotency_key: object,
        expires_in_s: object,
    ) -> "Request":
        """Return the request, or raise `InvalidArgument`, which names the argument."""
        name = check_engine(engine)
        if name == GLOBAL:
            raise InvalidArgument("engine", "an engine; GLOBAL is the policy of all together", name)
        asked = (name, check_amount("amount", amount), check_who(actor), check_why(reason))
        given, key = check_correlation_id(correlation_id), _check_key(idempotency_key)
        expires_in = _check_expiry(expires_in_s)
        # Without the correlation id in force, which a retry by HTTP has a fresh one of.
        same = None if key is None else _fingerprint(*asked, given, expires_in.total_seconds())
        return cls(*asked, given or current_correlation_id(), key, expires_in, same)


# Built once: to build a query, and to find it in SQLAlchemy's cache, costs as much as to send it.
_BY_KEY: Final = select(*_COLUMNS, _model.fingerprint).where(_model.idempotency_key == bindparam("key"))
_FOUND: Final = {
    "sqlite": select(*_COLUMNS, *_TODAY, null()),
    "postgresql": select(*_COLUMNS, *_TODAY, func.statement_timestamp(type_=UtcDateTime)),
}
_BY_ID: Final = {kind: found.where(_model.id == bindparam("id")) for kind, found in _FOUND.items()}
_UNSETTLED: Final = {
    kind: found.where(
        _model.engine == bindparam("engine"),
        _model.amount == bindparam("amount"),
        or_(_model.status == "open", _model.status == "expired"),
    )
    .order_by(_model.status != "open", _model.created_at, _model.id)
    .limit(1)
    for kind, found in _FOUND.items()
}
_UNSETTLED_OF: Final = {
    kind: found.where(_model.correlation_id == bindparam("correlation_id"))
    for kind, found in _UNSETTLED.items()
}


def by_key(work: Work, key: str) -> tuple[Reservation, str | None] | None:
    """Return the reservation made under an idempotency key, and the fingerprint of its request."""
    rows = work.rows(_BY_KEY, {"key": key})
    return (Reservation(*rows[0][:-1]), rows[0][-1]) if rows else None


def by_id(work: Work, reservation_id: object) -> Found | None:
    """Return the reservation with this id, or raise `InvalidArgument` where it is no int."""
    if isinstance(reservation_id, bool) or not isinstance(reservation_id, int):
        raise InvalidArgument("reservation_id", "an int", repr(reservation_id)[:60])
    if not 0 <= reservation_id < 1 << 63:
        return None
    return _found(work, _BY_ID, {"id": reservation_id})


def unsettled(work: Work, engine: str, amount: Decimal, correlation_id: str | None) -> Found | None:
    """Return the oldest reservation of an amount that is open, or else one that has expired."""
    parameters = {"engine": engine, "amount": amount}
    if correlation_id is None:
        return _found(work, _UNSETTLED, parameters)
    return _found(work, _UNSETTLED_OF, parameters | {"correlation_id": correlation_id})


def open_reservations(connection: Connection, limit: int) -> list[Reservation]:
    """Return what is reserved and neither settled nor expired, the oldest first."""
    now = governance.now_of(connection)
    query = select(*_COLUMNS).where(_model.status == "open", _model.expires_at > now)
    return [Reservation(*row) for row in connection.execute(query.order_by(_model.expires_at).limit(limit))]


def check_who(actor: object) -> str | None:
    """Return who acts, who may be absent here, or raise `InvalidArgument`."""
    return None if actor is None else governance.check_actor(actor)


def check_why(reason: object) -> str | None:
    """Return a reason, which may be absent here, or raise `InvalidArgument`."""
    return None if reason is None else governance.check_reason(reason)


def _fingerprint(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _found(work: Work, queries: dict[str, Select[Any]], parameters: dict[str, Any]) -> Found | None:
    rows = work.rows(queries[work.connection.dialect.name], parameters)
    if not rows:
        return None
    *reservation, global_today, own_today, now = rows[0]
    return Found(Reservation(*reservation), global_today, own_today, now or utc_now())


def _check_key(given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given) <= KEY_MAX or not given.isprintable():
        raise InvalidArgument("idempotency_key", f"1 to {KEY_MAX} printable characters", ascii(given)[:60])
    return given


def _check_expiry(given: object) -> dt.timedelta:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= EXPIRY_MAX_S:
        raise InvalidArgument("expires_in_s", "seconds, above 0 and at most a year", repr(given)[:60])
    return dt.timedelta(seconds=given)
