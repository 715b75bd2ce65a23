"""The regression tripwires: policies, where they stand, evaluation, re-arm."""

from collections.abc import Sequence

import anyio
from fastapi import APIRouter, Response

from golive import governance, pipeline, regression
from golive.api.auth import MAY_READ, Operator
from golive.api.backtests import replayed, stored_policy
from golive.api.control import Control, Controlled
from golive.api.problems import CHANGES, TAKES_BODY, problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.regression import (
    BacktestBody,
    Backtests,
    BacktestShown,
    CandidateRule,
    EvaluateBody,
    Evaluations,
    EvaluationShown,
    PinBody,
    RearmBody,
    RegressionPolicies,
    RegressionPolicyBody,
    RegressionPolicyShown,
    RegressionStates,
    RegressionStateShown,
)
from golive.api.versions import IfMatch, seen_version, show_version
from golive.regression import Evaluation, Wire
from golive.regression.backtest import Backtest, default_rules
from golive.tripwire import PinnedBaseline, Rule

router = APIRouter(
    prefix="/governance/regression",
    tags=["regression"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)

DELIVERED_S = 2.0
"""How long an evaluation waits for accepted events to be in the store."""
_TRIPS = 100


@router.get("/policies", dependencies=[MAY_READ])
def read_policies(control: Controlled) -> RegressionPolicies:
    """Every policy, with the version a change has to name."""
    with governance.reading(control.engine) as connection:
        found = regression.policies(connection)
    return RegressionPolicies(policies=[RegressionPolicyShown.model_validate(policy) for policy in found])


@router.post("/policies/upsert", responses=CHANGES)
def upsert_policy(
    control: Controlled,
    principal: Operator,
    body: RegressionPolicyBody,
    response: Response,
    if_match: IfMatch = None,
) -> RegressionPolicyShown:
    """Make or change the policy of a stream; version 0 for a new one."""
    values = {name: value for name, value in body if name not in ("version", "pinned_baseline")}
    pinned = body.pinned_baseline
    made = regression.upsert_policy(
        control.engine,
        **values,
        pinned_baseline=None if pinned is None else PinnedBaseline.from_json(pinned.model_dump()),
        actor=principal.name,
        version=seen_version(if_match, body.version),
    )
    show_version(response, made.version)
    return RegressionPolicyShown.model_validate(made)


@router.post("/policies/pin", responses={**CHANGES, **problem_responses(404)})
def pin_baseline(
    control: Controlled, principal: Operator, body: PinBody, response: Response, if_match: IfMatch = None
) -> RegressionPolicyShown:
    """Pin the baseline to the stored events of a time that was well."""
    values = {name: value for name, value in body if name != "version"}
    version = seen_version(if_match, body.version)
    made = regression.pin_baseline(control.engine, **values, actor=principal.name, version=version)
    show_version(response, made.version)
    return RegressionPolicyShown.model_validate(made)


@router.get("/state", dependencies=[MAY_READ])
def read_state(control: Controlled) -> RegressionStates:
    """Where every tripwire stands, with the version a re-arm has to name."""
    with governance.snapshot(control.engine) as connection:
        found = regression.wires(connection)
    return RegressionStates(states=[_state(wire) for wire in found])


@router.post("/evaluate", responses={**TAKES_BODY, **problem_responses(404)})
def evaluate(control: Controlled, principal: Operator, body: EvaluateBody) -> Evaluations:
    """Evaluate a tripwire, or every enabled one; one that trips acts. A disabled one is only judged.

    Events this process has accepted are in the store first, as long as the store takes them.
    """
    pipeline.flush(DELIVERED_S)
    if body.domain is not None and body.metric is not None:
        made = [regression.evaluate_policy(control.engine, body.domain, body.metric)]
    else:
        made = regression.evaluate_all(control.engine)
    return Evaluations(evaluations=[_evaluation(each) for each in made])


@router.post("/rearm", responses={**CHANGES, **problem_responses(409)})
def rearm(
    control: Controlled, principal: Operator, body: RearmBody, response: Response, if_match: IfMatch = None
) -> RegressionStateShown:
    """Release a tripped wire. What the trip did stays done, unless the throttle is to be restored."""
    made = regression.rearm(
        control.engine,
        body.domain,
        body.metric,
        actor=principal.name,
        reason=body.reason,
        version=seen_version(if_match, body.version),
        restore_throttle=body.restore_throttle,
    )
    show_version(response, made.version)
    with governance.snapshot(control.engine) as connection:
        found = regression.wires(connection)
    policy = next((w.policy for w in found if w.state[:2] == made[:2]), None)
    return _state(Wire(policy, made))


@router.post("/backtest", responses=TAKES_BODY)
async def backtest(control: Controlled, _: Operator, body: BacktestBody) -> Backtests:
    """Replay the newest 100,000 stored events of a stream against rules; nothing is written.

    It takes seconds, and so needs the scope `operate`; one that takes more than 30 is refused with 422. One
    is made at a time.
    """
    return await anyio.to_thread.run_sync(_backtests, control, body, limiter=control.backtest_threads)


def _backtests(control: Control, body: BacktestBody) -> Backtests:
    if body.candidates is not None:
        rules = _candidates(body.candidates)
    else:
        rules = default_rules(stored_policy(control.engine, body.domain, body.metric))
    _, made = replayed(
        control.engine,
        body.domain,
        body.metric,
        rules,
        since=body.since,
        until=body.until,
        change=body.change,
        every=body.every,
    )
    return Backtests(backtests=[_backtest(name, each) for name, each in made.items()])


def _candidates(candidates: Sequence[CandidateRule]) -> dict[str, Rule]:
    return {
        candidate.name or f"rule {number}": Rule(
            **{name: value for name, value in candidate if name != "name" and value is not None}
        )
        for number, candidate in enumerate(candidates, 1)
    }


def _backtest(name: str, made: Backtest) -> BacktestShown:
    shown = made._replace(trips=made.trips[:_TRIPS]).as_json()
    return BacktestShown(**shown, rule=name, trips_count=len(made.trips))


def _state(wire: Wire) -> RegressionStateShown:
    return RegressionStateShown(
        **wire.state._asdict(), enabled=wire.enabled, detectable_drop=wire.detectable_drop
    )


def _evaluation(made: Evaluation) -> EvaluationShown:
    found = made.finding
    figures = ("verdict", "explanation", "baseline", "current", "drop_fraction", "detectable_drop")
    return EvaluationShown(
        domain=made.policy.domain,
        metric=made.policy.metric,
        **{name: getattr(found, name, None) for name in figures},
        triggered=made.state.triggered,
        tripped=made.tripped,
        would_trip=made.would_trip,
        acts=list(made.acts),
        problem=made.problem,
        finding=None if found is None else found.as_json(),
    )
