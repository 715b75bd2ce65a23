"""What the guard books, as SQL: each tuple is done whole, in this order, or not at all.

`GLOBAL` comes first everywhere: its current ledger is the lock every booking begins with. A statement that
touches no row means that there is no room any more, or that something else became of the reservation.
"""

from functools import cache
from typing import Final


def _reserve(engine: str, whose: str) -> str:
    return f"""
UPDATE risk_ledger_day SET exposure_used = exposure_used + :amount,
    open_risk_reserved = open_risk_reserved + :amount, actions_count = actions_count + 1, updated_at = :now
WHERE engine = {engine} AND is_current AND day = :day
    AND realized_loss < :{whose}_loss AND exposure_used + :amount <= :{whose}_exposure_amount
    AND open_risk_reserved + :amount <= :{whose}_open_amount AND actions_count < :{whose}_actions"""  # noqa: S608


def _close(engine: str, *changes: str) -> str:
    """Release what is open from the current ledger, and change that of the reservation's day."""
    return f"""
UPDATE risk_ledger_day SET updated_at = :now,
    open_risk_reserved = open_risk_reserved - CASE WHEN is_current THEN :open_amount ELSE 0 END
    {"".join(changes)}
WHERE engine = {engine} AND (is_current OR day = :day)"""  # noqa: S608


def _on_its_day(column: str, change: str) -> str:
    return f", {column} = {column} + CASE WHEN day = :day THEN {change} ELSE 0 END"


def _event(action: str, loss: str = "", sign: str = "") -> str:
    columns = (
        "engine, day, action, amount, ok, reason, reservation_id, correlation_id, actor, trace_id, created_at"
    )
    values = (
        f":engine, :day, '{action}', :amount, true, :reason, :id, :correlation_id, :actor, :trace_id, :now"
    )
    if loss:
        columns, values = f"{columns}, realized_loss", f"{values}, {sign}:{loss}"
    return f"INSERT INTO risk_event ({columns}) SELECT {values} WHERE true"


RESERVE: Final = (
    _reserve("'GLOBAL'", "global"),
    _reserve(":engine", "own"),
    """
INSERT INTO risk_reservation (id, engine, day, amount, status, idempotency_key, fingerprint, reason,
    correlation_id, actor, trace_id, created_at, expires_at)
SELECT :id, :engine, :day, :amount, 'open', :idempotency_key, :fingerprint, :reason,
    :correlation_id, :actor, :trace_id, :now, :expires_at WHERE true""",
    _event("RESERVE"),
)

SETTLE: Final = (
    _close("'GLOBAL'", _on_its_day("realized_loss", ":loss")),
    """
UPDATE risk_reservation SET status = :status, realized_loss = :loss, closed_at = :now
WHERE id = :id AND status = :status_before""",
    _close(":engine", _on_its_day("realized_loss", ":loss")),
    _event("SETTLE", "loss"),
)

_BACK: Final = (_on_its_day("exposure_used", "-:amount"), _on_its_day("actions_count", "-1"))

RELEASE: Final = (
    _close("'GLOBAL'", *_BACK),
    """
UPDATE risk_reservation SET status = :status, closed_at = :now
WHERE id = :id AND status = :status_before""",
    _close(":engine", *_BACK),
    _event("RELEASE"),
)


def _refund(engine: str) -> str:
    return f"""
UPDATE risk_ledger_day SET realized_loss = realized_loss - :loss, updated_at = :now
WHERE engine = {engine} AND day = :day"""  # noqa: S608


REFUND: Final = (
    _refund("'GLOBAL'"),
    """
UPDATE risk_reservation SET realized_loss = realized_loss - :loss
WHERE id = :id AND status = 'settled' AND realized_loss = :previous_loss""",
    _refund(":engine"),
    _event("REFUND", "loss", "-"),
)


@cache
def denial(has_ledger: bool) -> tuple[str, ...]:
    """Return the booking of a denial; an engine without a policy has no ledger to count it in."""
    return (
        _denied("'GLOBAL'"),
        *([_denied(":engine")] if has_ledger else []),
        "INSERT INTO risk_event (engine, day, action, amount, ok, reason, correlation_id, actor, trace_id, "
        "metadata_json, created_at) SELECT :engine, :day, 'DENY', :amount, false, :reason, :correlation_id, "
        ":actor, :trace_id, :detail, :now WHERE true",
    )


def _denied(engine: str) -> str:
    return f"""
UPDATE risk_ledger_day SET denials = denials + 1, updated_at = :now
WHERE engine = {engine} AND is_current AND day = :day"""  # noqa: S608
