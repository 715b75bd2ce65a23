"""The risk guard: policies, ledgers, reservations and their settlement."""

from collections.abc import Sequence

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from golive import governance, risk
from golive.api.auth import MAY_READ, Operator
from golive.api.control import Controlled
from golive.api.problems import CHANGES, TAKES_BODY, problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.risk import (
    DecisionView,
    LedgersToday,
    LedgerView,
    LimitsView,
    RefundBody,
    ReleaseBody,
    ReservationView,
    ReserveBody,
    RiskPolicies,
    RiskPolicyBody,
    RiskPolicyShown,
    RiskSnapshot,
    SettleBody,
)
from golive.api.versions import IfMatch, seen_version, show_version
from golive.risk import Book, Reservation

router = APIRouter(
    prefix="/governance/risk",
    tags=["risk"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)

_SHOWN = 100


@router.get("/policies", dependencies=[MAY_READ])
def read_policies(control: Controlled) -> RiskPolicies:
    """The caps of every engine, with the versions a change has to name."""
    with governance.reading(control.engine) as connection:
        return RiskPolicies(policies=_policies(connection))


@router.post("/policies/upsert", responses=CHANGES)
def upsert_policy(
    control: Controlled,
    principal: Operator,
    body: RiskPolicyBody,
    response: Response,
    if_match: IfMatch = None,
) -> RiskPolicyShown:
    """Make or replace the policy of an engine; version 0 for a new one. Open reservations are kept."""
    values = {name: value for name, value in body if name != "version"}
    version = seen_version(if_match, body.version)
    made = risk.upsert_policy(control.engine, **values, actor=principal.name, version=version)
    show_version(response, made.version)
    return RiskPolicyShown.model_validate(made)


@router.get("/ledger/today", dependencies=[MAY_READ])
def read_ledgers(control: Controlled) -> LedgersToday:
    """What every engine has used today, and the room left."""
    with governance.snapshot(control.engine) as connection:
        return LedgersToday(ledgers=_ledgers(risk.books(connection, governance.now_of(connection))))


@router.post("/check-and-reserve", responses={**TAKES_BODY, **problem_responses(409)})
def reserve(control: Controlled, principal: Operator, body: ReserveBody) -> ReservationView:
    """Reserve before an action; 403 with the figures if there is no room.

    Send an idempotency key: a request that was not answered may have reserved.
    """
    made = risk.risk_reserve_or_raise(control.engine, **dict(body), actor=principal.name)
    return _reservation(made)


@router.post("/settle", responses={**TAKES_BODY, **problem_responses(404, 409)})
def settle(control: Controlled, principal: Operator, body: SettleBody) -> ReservationView:
    """Release what was reserved for an action, and book what it lost; only by id is it safe to repeat."""
    return _reservation(risk.risk_settle(control.engine, **dict(body), actor=principal.name))


@router.post("/release", responses={**TAKES_BODY, **problem_responses(404, 409)})
def release(control: Controlled, principal: Operator, body: ReleaseBody) -> ReservationView:
    """Give a reservation back whole: nothing was done under it."""
    return _reservation(risk.risk_release(control.engine, **dict(body), actor=principal.name))


@router.post("/refund", responses={**TAKES_BODY, **problem_responses(404, 409)})
def refund(control: Controlled, principal: Operator, body: RefundBody) -> ReservationView:
    """Book that part of a settled loss came back, on the day of the loss."""
    return _reservation(risk.risk_refund(control.engine, **dict(body), actor=principal.name))


@router.get("/snapshot", dependencies=[MAY_READ])
def read_snapshot(control: Controlled) -> RiskSnapshot:
    """Where the guard stands: policies, ledgers, up to a hundred open reservations and last decisions."""
    with governance.snapshot(control.engine) as connection:
        return RiskSnapshot(
            policies=_policies(connection),
            ledgers=_ledgers(risk.books(connection, governance.now_of(connection))),
            open_reservations=[_reservation(made) for made in risk.open_reservations(connection, _SHOWN)],
            decisions=[DecisionView.model_validate(made) for made in risk.decisions(connection, _SHOWN)],
        )


def _policies(connection: Connection) -> list[RiskPolicyShown]:
    return [RiskPolicyShown.model_validate(policy) for policy in risk.policies(connection)]


def _ledgers(books: Sequence[Book]) -> list[LedgerView]:
    return [
        LedgerView(
            **book.ledger._asdict(),
            allows_actions=book.policy.allows_actions,
            limits=LimitsView.model_validate(book.policy.limits()),
            room=LimitsView.model_validate(book.room()),
        )
        for book in books
        if book.policy is not None
    ]


def _reservation(made: Reservation) -> ReservationView:
    return ReservationView.model_validate(made)
