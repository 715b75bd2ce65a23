"""Reserves risk before an action, and settles it after."""

import datetime as dt
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import IntegrityError

from golive import pipeline
from golive.correlation import current_trace_id
from golive.errors import IdempotencyConflict, InvalidArgument, NotReserved, ReservationClosed, RiskDenied
from golive.events import check_correlation_id
from golive.joining import Work, apart, joined
from golive.models.risk import GLOBAL
from golive.risk import ledger, reservations, statements
from golive.risk.decision import POLICY_MISSING, Refusal, refusal
from golive.risk.money import NO_CAP, check_amount
from golive.risk.policy import ACTIONS_MAX, Limits, check_engine
from golive.risk.reservations import DEFAULT_EXPIRY_S, Found, Request, Reservation

_ATTEMPTS: Final = 1000
"""Each that fails means that another process went ahead."""


def risk_reserve_or_raise(
    db: object,
    engine: str,
    amount: Decimal | int,
    *,
    actor: str | None = None,
    reason: str | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
    expires_in_s: float = DEFAULT_EXPIRY_S,
) -> Reservation:
    """Reserve an amount for one action under the caps of its engine and of `GLOBAL`, or raise.

    A denial is recorded at once, or right after the caller's transaction where that holds locks.

    Args:
        db: A SQLAlchemy session, whose transaction the reservation belongs to; or what else names the
            database, and the reservation is committed when the call returns.
        engine: Whose caps.
        amount: What may be lost: a Decimal or an int, in whole cents; 0 for an action without money.
        actor: Who acts.
        reason: What for.
        correlation_id: The one in force by default.
        idempotency_key: Makes a request that is repeated the same reservation: look at its status.
        expires_in_s: After how many seconds it does not count as open any more, if nobody settles it.

    Raises:
        RiskDenied: There is no room; nothing was reserved.
        IdempotencyConflict: The key was used for another request.
        InvalidArgument: An argument is not what it has to be.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be asked, or its answer did not arrive: without a
            session something may have been reserved, which the same idempotency key finds.
    """
    request = Request.check(engine, amount, actor, reason, correlation_id, idempotency_key, expires_in_s)
    with joined(db) as work:
        found = _reserve(work, request)
    if isinstance(found, Reservation):
        return found
    trace_id = current_trace_id()
    apart(db, lambda own: _record_denial(own, request, found, trace_id))
    raise RiskDenied(request.engine, *found.refusal)


def risk_settle(
    db: object,
    engine: str,
    reserved_amount: Decimal | int,
    realized_loss: Decimal | int,
    *,
    reservation_id: int | None = None,
    actor: str | None = None,
    reason: str | None = None,
    correlation_id: str | None = None,
) -> Reservation:
    """Release what was reserved for an action, and book what it lost on the day it was reserved.

    The loss is booked even where it passes a cap, and after the reservation has expired: it has happened.

    Args:
        db: As for `risk_reserve_or_raise`.
        engine: As it was reserved.
        reserved_amount: As it was reserved.
        realized_loss: What was lost; 0 for nothing, or a profit.
        reservation_id: Which one; by default the oldest unsettled one of that engine and amount, and of that
            correlation id if one is given. Only with it is a repeated call the same settlement.
        actor: Who settles.
        reason: Why so much.
        correlation_id: See `reservation_id`.

    Raises:
        NotReserved: There is no such reservation.
        ReservationClosed: It was released, or settled with another loss.
        InvalidArgument: An argument is not what it has to be.
    """
    engine, amount = check_engine(engine), check_amount("reserved_amount", reserved_amount)
    loss = check_amount("realized_loss", realized_loss)
    note = _note(actor, reason)
    correlation_id = check_correlation_id(correlation_id)
    with joined(db) as work:
        for _ in range(_ATTEMPTS):
            if reservation_id is None:
                found = reservations.unsettled(work, engine, amount, correlation_id)
            else:
                found = reservations.by_id(work, reservation_id)
            made = None if found is None else found.reservation
            if found is None or made is None or (made.engine, made.amount) != (engine, amount):
                raise NotReserved(f"{engine} has no such unsettled reservation of {amount}")
            if made.status == "settled" and made.realized_loss == loss:
                return made
            if made.status not in ("open", "expired"):
                raise ReservationClosed(made.id, made.status, f"its loss is {made.realized_loss}")
            if _close(work, found, "SETTLE", note | {"loss": loss}):
                return made._replace(status="settled", realized_loss=loss)
    raise _contended()


def risk_release(
    db: object, reservation_id: int, *, actor: str | None = None, reason: str | None = None
) -> Reservation:
    """Give a reservation back whole, exposure and action too: nothing was done under it.

    Args:
        db: As for `risk_reserve_or_raise`.
        reservation_id: Which one; open, or expired.
        actor: Who.
        reason: Why.

    Raises:
        NotReserved: There is no such reservation.
        ReservationClosed: It was settled.
        InvalidArgument: An argument is not what it has to be.
    """
    note = _note(actor, reason)
    with joined(db) as work:
        for _ in range(_ATTEMPTS):
            found = _by_id(work, reservation_id)
            made = found.reservation
            if made.status == "released":
                return made
            if made.status == "settled":
                raise ReservationClosed(made.id, made.status, "something was done under it")
            if _close(work, found, "RELEASE", note):
                return made._replace(status="released")
    raise _contended()


def risk_refund(
    db: object,
    reservation_id: int,
    amount: Decimal | int,
    *,
    realized_loss: Decimal | int | None = None,
    actor: str | None = None,
    reason: str | None = None,
) -> Reservation:
    """Book that part of a settled loss came back, on the day the loss was booked on.

    Args:
        db: As for `risk_reserve_or_raise`.
        reservation_id: Which one; settled.
        amount: How much came back; at most the loss.
        realized_loss: The loss before it came back: a call that is repeated finds another, and is refused.
            None to not care.
        actor: Who.
        reason: Why.

    Raises:
        NotReserved: There is no such reservation.
        ReservationClosed: It was released, or its loss is another one.
        InvalidArgument: More would come back than was lost, or nothing was settled yet.
    """
    back = check_amount("amount", amount)
    seen = None if realized_loss is None else check_amount("realized_loss", realized_loss)
    note = _note(actor, reason)
    with joined(db) as work:
        for _ in range(_ATTEMPTS):
            found = _by_id(work, reservation_id)
            made = found.reservation
            if made.status == "released":
                raise ReservationClosed(made.id, made.status, "nothing was lost")
            lost = made.realized_loss if made.realized_loss is not None else Decimal(0)
            if seen is not None and seen != lost:
                raise ReservationClosed(made.id, made.status, f"its loss is {lost}, not {seen}")
            if back > lost or not back:
                raise InvalidArgument("amount", f"above 0 and at most the loss of {lost}", str(back))
            if _close(work, found, "REFUND", note | {"loss": back, "previous_loss": lost}):
                return made._replace(realized_loss=lost - back)
    raise _contended()


class _Denied(NamedTuple):
    refusal: Refusal
    at: dt.datetime


def _reserve(work: Work, request: Request) -> Reservation | _Denied:
    for _ in range(_ATTEMPTS):
        reading = ledger.read(work, request.engine)
        now = reading.now
        if reading.due:
            ledger.expire(work, now)
            continue
        if request.idempotency_key is not None:
            made = reservations.by_key(work, request.idempotency_key)
            if made is not None:
                return _same(made, request)
        refused = refusal(reading.books, request.amount)
        if refused is not None:
            return _Denied(refused, now)
        if not reading.begun:
            ledger.begin_day(work, [GLOBAL, request.engine], reading.day, now)
            continue
        if not ledger.lock(work):
            continue
        reservation = _new(request, reading.day, now)
        limits = [book.policy.limits() for book in reading.books if book.policy is not None]
        try:
            if work.all_or_none(statements.RESERVE, _to_reserve(reservation, request, limits, now)):
                return reservation
        except IntegrityError:  # another process used the key, or picked the id
            continue
    raise _contended()


def _close(work: Work, found: Found, action: statements.Closing, more: dict[str, Any]) -> bool:
    """Book what becomes of a reservation; return False if something else did, or a day began, meanwhile."""
    made = found.reservation
    parameters = _parameters(made, found.now, more) | {"status_before": made.status}
    if action != "REFUND":
        parameters["open_amount"] = made.amount if made.status == "open" else Decimal(0)
    return work.all_or_none(statements.closing(action, found.global_today, found.own_today), parameters)


def _record_denial(work: Work, request: Request, denied: _Denied, trace_id: str | None) -> None:
    refused, now = denied
    engines = [GLOBAL] if refused.reason == POLICY_MISSING else [GLOBAL, request.engine]
    for _ in range(_ATTEMPTS):
        reading = ledger.read(work, request.engine, now)
        ledger.begin_day(work, engines, reading.day, now)
        parameters = {
            "day": reading.day,
            "now": now,
            "engine": request.engine,
            "amount": request.amount,
            "reason": refused.reason,
            "correlation_id": request.correlation_id,
            "actor": request.actor,
            "trace_id": trace_id,
            "detail": {"asked_for": request.reason} | _figures(refused),
        }
        if work.all_or_none(statements.denial(len(engines) > 1), parameters):
            return
    raise _contended()


def _same(made: tuple[Reservation, str | None], request: Request) -> Reservation:
    reservation, fingerprint = made
    if fingerprint != request.fingerprint:
        raise IdempotencyConflict(
            f"the key {request.idempotency_key!r} was used for another request: "
            f"{reservation.amount} of {reservation.engine}"
        )
    return reservation


def _new(request: Request, day: dt.date, now: dt.datetime) -> Reservation:
    return Reservation(
        pipeline.next_id(),
        request.engine,
        day,
        request.amount,
        "open",
        None,
        request.idempotency_key,
        request.correlation_id,
        request.actor,
        now,
        now + request.expires_in,
    )


def _to_reserve(
    reservation: Reservation, request: Request, limits: list[Limits], now: dt.datetime
) -> dict[str, Any]:
    parameters = _parameters(reservation, now, {"actor": request.actor, "reason": request.reason}) | {
        "expires_at": reservation.expires_at,
        "idempotency_key": request.idempotency_key,
        "fingerprint": request.fingerprint,
    }
    for whose, caps in zip(("global", "own"), limits, strict=True):
        parameters |= {
            f"{whose}_loss": NO_CAP if caps.max_daily_loss is None else caps.max_daily_loss,
            f"{whose}_exposure_amount": (
                NO_CAP if caps.max_daily_exposure is None else caps.max_daily_exposure
            ),
            f"{whose}_open_amount": NO_CAP if caps.max_open_risk is None else caps.max_open_risk,
            f"{whose}_actions": ACTIONS_MAX if caps.max_actions_per_day is None else caps.max_actions_per_day,
        }
    return parameters


def _parameters(reservation: Reservation, now: dt.datetime, note: dict[str, Any]) -> dict[str, Any]:
    return note | {
        "id": reservation.id,
        "engine": reservation.engine,
        "day": reservation.day,
        "amount": reservation.amount,
        "correlation_id": reservation.correlation_id,
        "trace_id": current_trace_id(),
        "now": now,
    }


def _figures(refused: Refusal) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in refused._asdict().items()
        if value is not None
    }


def _note(actor: object, reason: object) -> dict[str, Any]:
    return {"actor": reservations.check_who(actor), "reason": reservations.check_why(reason)}


def _by_id(work: Work, reservation_id: int) -> Found:
    found = reservations.by_id(work, reservation_id)
    if found is None:
        raise NotReserved(f"there is no reservation {reservation_id}")
    return found


def _contended() -> RuntimeError:
    return RuntimeError(f"other processes went ahead {_ATTEMPTS} times: nothing was booked")
