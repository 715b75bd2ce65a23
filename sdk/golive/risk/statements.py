"""What the guard books, as SQL: each tuple is done whole, in this order, or not at all.

The current ledger of `GLOBAL` comes first everywhere: it is the lock every booking begins with, so that
nobody waits in a circle. A statement that touches no row means that there is no room any more, that a day has
begun, or that something else became of the reservation.
"""

from functools import cache
from typing import Final, Literal

from golive.models.risk import GLOBAL

Closing = Literal["SETTLE", "RELEASE", "REFUND"]

_GLOBAL: Final = f"'{GLOBAL}'"
_OWN: Final = ":engine"


def _reserve(engine: str, whose: str) -> str:
    return f"""
UPDATE risk_ledger_day SET exposure_used = exposure_used + :amount,
    open_risk_reserved = open_risk_reserved + :amount, actions_count = actions_count + 1, updated_at = :now
WHERE engine = {engine} AND is_current AND day = :day
    AND realized_loss < :{whose}_loss AND exposure_used + :amount <= :{whose}_exposure_amount
    AND open_risk_reserved + :amount <= :{whose}_open_amount AND actions_count < :{whose}_actions"""  # noqa: S608


def _event(action: str, loss: str | None = None) -> str:
    columns = (
        "engine, day, action, amount, ok, reason, reservation_id, correlation_id, actor, trace_id, created_at"
    )
    values = (
        f":engine, :day, '{action}', :amount, true, :reason, :id, :correlation_id, :actor, :trace_id, :now"
    )
    if loss is not None:
        columns, values = f"{columns}, realized_loss", f"{values}, {loss}"
    return f"INSERT INTO risk_event ({columns}) SELECT {values} WHERE true"


RESERVE: Final = (
    _reserve(_GLOBAL, "global"),
    _reserve(_OWN, "own"),
    """
INSERT INTO risk_reservation (id, engine, day, amount, status, idempotency_key, fingerprint, reason,
    correlation_id, actor, trace_id, created_at, expires_at)
SELECT :id, :engine, :day, :amount, 'open', :idempotency_key, :fingerprint, :reason,
    :correlation_id, :actor, :trace_id, :now, :expires_at WHERE true""",
    _event("RESERVE"),
)

_BALANCE: Final = {
    "SETTLE": "open_risk_reserved = open_risk_reserved - :open_amount",
    "RELEASE": "open_risk_reserved = open_risk_reserved - :open_amount",
    "REFUND": "open_risk_reserved = open_risk_reserved",
}
"""What changes in the current ledger."""
_FLOW: Final = {
    "SETTLE": "realized_loss = realized_loss + :loss",
    "RELEASE": "exposure_used = exposure_used - :amount, actions_count = actions_count - 1",
    "REFUND": "realized_loss = realized_loss - :loss",
}
"""What changes in the ledger of the reservation's day."""
_RESERVATION: Final = {
    "SETTLE": "status = 'settled', realized_loss = :loss, closed_at = :now",
    "RELEASE": "status = 'released', closed_at = :now",
    "REFUND": "realized_loss = realized_loss - :loss",
}
_LOSS: Final[dict[str, str | None]] = {"SETTLE": ":loss", "RELEASE": None, "REFUND": "-:loss"}


@cache
def closing(action: Closing, global_today: bool, own_today: bool) -> tuple[str, ...]:
    """Return the booking of what becomes of a reservation.

    Args:
        action: What becomes of it.
        global_today: Whether the current ledger of `GLOBAL` is that of the reservation's day.
        own_today: Whether that of its engine is.
    """
    guard = " AND realized_loss = :previous_loss" if action == "REFUND" else ""
    return (
        *_ledgers(_GLOBAL, action, global_today),
        f"UPDATE risk_reservation SET {_RESERVATION[action]} "  # noqa: S608
        f"WHERE id = :id AND status = :status_before{guard}",
        *_ledgers(_OWN, action, own_today),
        _event(action, _LOSS[action]),
    )


def _ledgers(engine: str, action: Closing, today: bool) -> list[str]:
    balance, flow = _BALANCE[action], _FLOW[action]
    if today:
        return [
            f"UPDATE risk_ledger_day SET {balance}, {flow}, updated_at = :now "  # noqa: S608
            f"WHERE engine = {engine} AND is_current AND day = :day"
        ]
    return [
        f"UPDATE risk_ledger_day SET {balance}, updated_at = :now "  # noqa: S608
        f"WHERE engine = {engine} AND is_current AND day <> :day",
        f"UPDATE risk_ledger_day SET {flow}, updated_at = :now "  # noqa: S608
        f"WHERE engine = {engine} AND day = :day AND NOT is_current",
    ]


@cache
def denial(has_ledger: bool) -> tuple[str, ...]:
    """Return the booking of a denial; an engine without a policy has no ledger to count it in."""
    return (
        _denied(_GLOBAL),
        *([_denied(_OWN)] if has_ledger else []),
        "INSERT INTO risk_event (engine, day, action, amount, ok, reason, correlation_id, actor, trace_id, "
        "metadata_json, created_at) SELECT :engine, :day, 'DENY', :amount, false, :reason, :correlation_id, "
        ":actor, :trace_id, :detail, :now WHERE true",
    )


def _denied(engine: str) -> str:
    return f"""
UPDATE risk_ledger_day SET denials = denials + 1, updated_at = :now
WHERE engine = {engine} AND is_current AND day = :day"""  # noqa: S608
