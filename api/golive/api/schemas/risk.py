"""What goes over the wire about the risk guard. Amounts are text: JSON's numbers are not exact."""

import datetime as dt
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, WithJsonSchema

from golive.api.schemas.base import Answer, Correlation, Id, Json, Reason, Request, ShownId, Version
from golive.governance import REASON_MAX
from golive.risk.money import MOST, check_amount
from golive.risk.policy import ACTIONS_MAX, ENGINE_MAX
from golive.risk.reservations import DEFAULT_EXPIRY_S, EXPIRY_MAX_S, KEY_MAX


def _exact(given: object) -> Decimal:
    if isinstance(given, str) and given.isascii() and given.replace(".", "", 1).isdigit():
        return check_amount("amount", Decimal(given))
    return check_amount("amount", given)


def _shown(amount: object) -> object:
    return str(amount) if isinstance(amount, Decimal) else amount


Amount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,14}(\.[0-9]{1,2})?$"},
                {"type": "integer", "minimum": 0, "maximum": int(MOST)},
            ]
        }
    ),
]
"""An amount in a request: `"120.50"`, or whole units as an integer."""
ShownAmount = Annotated[str, BeforeValidator(_shown)]
"""An amount in an answer: `"120.50"`."""

Engine = Annotated[str, Field(min_length=1, max_length=ENGINE_MAX)]
Note = Annotated[str | None, Field(min_length=1, max_length=REASON_MAX, description="What for, or why.")]


class RiskPolicyBody(Request):
    """The whole policy of an engine; `null` is no cap, so every cap has to be named."""

    engine: Annotated[str, Field(min_length=1, max_length=ENGINE_MAX, description="Or `GLOBAL`.")]
    enabled: StrictBool
    max_daily_loss: Amount | None
    max_daily_exposure: Amount | None
    max_open_risk: Amount | None
    max_actions_per_day: Annotated[StrictInt | None, Field(ge=0, le=ACTIONS_MAX)]
    throttle: Annotated[
        StrictFloat | None, Field(ge=0, le=1, description="Share of the caps in force; `null` leaves it.")
    ] = None
    time_zone: Annotated[
        str | None, Field(max_length=64, description="IANA name, of `GLOBAL` only; `null` leaves it.")
    ] = None
    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "engine": "WHOLESALE",
                    "enabled": True,
                    "max_daily_loss": "200.00",
                    "max_daily_exposure": "1000.00",
                    "max_open_risk": "500.00",
                    "max_actions_per_day": 500,
                    "reason": "week 2 of the experiment",
                    "version": 1,
                }
            ]
        },
    )


class RiskPolicyShown(Answer):
    """The policy of an engine, or of all together (`GLOBAL`)."""

    engine: str
    enabled: bool
    max_daily_loss: ShownAmount | None
    max_daily_exposure: ShownAmount | None
    max_open_risk: ShownAmount | None
    max_actions_per_day: int | None
    throttle: float
    time_zone: str
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None


class RiskPolicies(Answer):
    """Every policy, `GLOBAL` first."""

    policies: list[RiskPolicyShown]


class LimitsView(Answer):
    """The caps in force, the throttle applied; `null` is no cap."""

    max_daily_loss: ShownAmount | None
    max_daily_exposure: ShownAmount | None
    max_open_risk: ShownAmount | None
    max_actions_per_day: int | None


class LedgerView(Answer):
    """What an engine has used today, of what, and how much is left."""

    engine: str
    day: dt.date
    exposure_used: ShownAmount
    open_risk_reserved: ShownAmount
    realized_loss: ShownAmount
    actions_count: int
    denials: int
    allows_actions: bool
    limits: LimitsView
    room: LimitsView


class LedgersToday(Answer):
    """The ledgers of today, `GLOBAL` first."""

    ledgers: list[LedgerView]


class ReserveBody(Request):
    """What an action may lose."""

    engine: Engine
    amount: Amount
    reason: Note = None
    correlation_id: Correlation = None
    idempotency_key: Annotated[
        str | None,
        Field(min_length=1, max_length=KEY_MAX, description="Makes a repeated request one reservation."),
    ] = None
    expires_in_s: Annotated[float, Field(gt=0, le=EXPIRY_MAX_S, allow_inf_nan=False)] = DEFAULT_EXPIRY_S

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "engine": "WHOLESALE",
                    "amount": "120.00",
                    "correlation_id": "deal_123",
                    "idempotency_key": "offer_123",
                }
            ]
        },
    )


class SettleBody(Request):
    """What an action lost."""

    engine: Engine
    reserved_amount: Amount
    realized_loss: Amount
    reservation_id: Id | None = None
    reason: Note = None
    correlation_id: Correlation = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "engine": "WHOLESALE",
                    "reserved_amount": "120.00",
                    "realized_loss": "3.50",
                    "reservation_id": "4611686018427387904",
                }
            ]
        },
    )


class ReleaseBody(Request):
    """A reservation nothing was done under."""

    reservation_id: Id
    reason: Note = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reservation_id": "4611686018427387904", "reason": "the offer was withdrawn"}]
        },
    )


class RefundBody(Request):
    """What came back of a settled loss."""

    reservation_id: Id
    amount: Amount
    realized_loss: Annotated[
        Amount,
        Field(description="The loss before: a request that is repeated finds another, and is refused."),
    ]
    reason: Note = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reservation_id": "4611686018427387904", "amount": "1.50", "realized_loss": "3.50"}]
        },
    )


class ReservationView(Answer):
    """Risk set aside for one action, and what became of it."""

    id: ShownId
    engine: str
    day: dt.date
    amount: ShownAmount
    status: str
    realized_loss: ShownAmount | None
    idempotency_key: str | None
    correlation_id: str | None
    actor: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


class DecisionView(Answer):
    """One decision of the guard."""

    id: ShownId
    engine: str
    day: dt.date | None
    action: str
    amount: ShownAmount
    realized_loss: ShownAmount | None
    ok: bool
    reason: str | None
    reservation_id: ShownId | None
    correlation_id: str | None
    actor: str | None
    trace_id: str | None
    detail: Json
    created_at: dt.datetime


class RiskSnapshot(Answer):
    """Where the guard stands at one moment; of what is open the oldest first, of decisions the newest."""

    policies: list[RiskPolicyShown]
    ledgers: list[LedgerView]
    open_reservations: list[ReservationView]
    decisions: list[DecisionView]
