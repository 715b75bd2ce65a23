"""The confidence charter: policies, trials, recommendations, promotion."""

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from golive import governance, heimdall
from golive.api.auth import MAY_READ, Operator
from golive.api.control import Controlled
from golive.api.problems import CHANGES, TAKES_BODY, problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.heimdall import (
    HeimdallPolicies,
    HeimdallPolicyBody,
    HeimdallPolicyShown,
    HeimdallSnapshot,
    PromoteBody,
    RecommendationView,
    RecommendBody,
    Scorecards,
    ScorecardView,
    TrialBody,
    UseBody,
)
from golive.api.versions import IfMatch, seen_version, show_version
from golive.heimdall import Recommendation

router = APIRouter(
    prefix="/governance/heimdall",
    tags=["heimdall"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)

_SHOWN = 100


@router.get("/policies", dependencies=[MAY_READ])
def read_policies(control: Controlled) -> HeimdallPolicies:
    """What the recommendations of every domain must show, with the versions a change has to name."""
    with governance.reading(control.engine) as connection:
        return HeimdallPolicies(policies=_policies(connection))


@router.post("/policies/upsert", responses=CHANGES)
def upsert_policy(
    control: Controlled,
    principal: Operator,
    body: HeimdallPolicyBody,
    response: Response,
    if_match: IfMatch = None,
) -> HeimdallPolicyShown:
    """Make or replace the policy of a domain; version 0 for a new one."""
    values = {name: value for name, value in body if name != "version"}
    version = seen_version(if_match, body.version)
    made = heimdall.upsert_policy(control.engine, **values, actor=principal.name, version=version)
    show_version(response, made.version)
    return HeimdallPolicyShown.model_validate(made)


@router.get("/scorecard/today", dependencies=[MAY_READ])
def read_scorecards(control: Controlled) -> Scorecards:
    """The sandbox trials of every domain, today's included, and what they lack for production."""
    with governance.snapshot(control.engine) as connection:
        return Scorecards(scorecards=_scorecards(connection))


@router.post("/sandbox/trial", status_code=204, responses=TAKES_BODY)
def book_trial(control: Controlled, principal: Operator, body: TrialBody) -> None:
    """Book one sandbox trial on today's scorecard."""
    heimdall.heimdall_sandbox_trial(control.engine, **dict(body), actor=principal.name)


@router.post("/recommend", responses=TAKES_BODY)
def recommend(control: Controlled, principal: Operator, body: RecommendBody) -> RecommendationView:
    """Record a recommendation, with what the gate says of it now; `gate_reason` is why it is not eligible."""
    return _shown(heimdall.heimdall_recommend(control.engine, **dict(body), actor=principal.name))


@router.post("/require-prod-eligible", responses={**TAKES_BODY, **problem_responses(404)})
def require_prod_eligible(control: Controlled, principal: Operator, body: UseBody) -> RecommendationView:
    """Ask right before a recommendation is used in production; 403 with the reason if it must not be."""
    return _shown(heimdall.heimdall_require_prod_eligible(control.engine, **dict(body), actor=principal.name))


@router.post("/promote", responses=CHANGES)
def promote(
    control: Controlled,
    principal: Operator,
    body: PromoteBody,
    response: Response,
    if_match: IfMatch = None,
) -> HeimdallPolicyShown:
    """Let production use the recommendations of a domain; 403 with the reason if its trials do not do."""
    version = seen_version(if_match, body.version)
    made = heimdall.heimdall_promote(
        control.engine, domain=body.domain, actor=principal.name, reason=body.reason, version=version
    )
    show_version(response, made.version)
    return HeimdallPolicyShown.model_validate(made)


@router.get("/snapshot", dependencies=[MAY_READ])
def read_snapshot(control: Controlled) -> HeimdallSnapshot:
    """Where the charter stands: policies, scorecards, the last hundred recommendations."""
    with governance.snapshot(control.engine) as connection:
        return HeimdallSnapshot(
            policies=_policies(connection),
            scorecards=_scorecards(connection),
            recommendations=[_shown(made) for made in heimdall.recommendations(connection, _SHOWN)],
        )


def _policies(connection: Connection) -> list[HeimdallPolicyShown]:
    return [HeimdallPolicyShown.model_validate(policy) for policy in heimdall.policies(connection)]


def _scorecards(connection: Connection) -> list[ScorecardView]:
    today = governance.now_of(connection).date()
    return [
        ScorecardView(
            **standing.scorecard._asdict(),
            proven=standing.unproven is None,
            reason=standing.unproven.reason if standing.unproven else None,
            explanation=standing.unproven.explanation if standing.unproven else None,
        )
        for standing in heimdall.standings(connection, today)
    ]


def _shown(made: Recommendation) -> RecommendationView:
    return RecommendationView.model_validate(made)
