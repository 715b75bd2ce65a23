"""The go-live state and the kill switch."""

import functools

import anyio
from fastapi import APIRouter, Response

from golive import go_live
from golive.api.auth import MAY_READ, Operator
from golive.api.control import Controlled
from golive.api.problems import CHANGES, TAKES_BODY, problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.go_live import ChecklistView, GoLiveStateView, KillSwitchEngagement, StateChange
from golive.api.versions import IfMatch, seen_version, show_version
from golive.go_live import State

router = APIRouter(
    prefix="/governance/go-live",
    tags=["go-live"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)


@router.get("/state", dependencies=[MAY_READ])
def read_state(control: Controlled, response: Response) -> GoLiveStateView:
    """Whether production may act."""
    return _shown(go_live.read(control.engine), response)


@router.get("/checklist", dependencies=[MAY_READ])
def read_checklist(control: Controlled) -> ChecklistView:
    """What has to be there before production may be enabled."""
    return ChecklistView.model_validate(go_live.checklist(control.engine))


@router.post("/enable", responses={**CHANGES, **problem_responses(409)})
def enable(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Let production act; 409 with the blockers if the runbook has any."""
    version = seen_version(if_match, change.version)
    state = go_live.enable(control.engine, actor=principal.name, reason=change.reason, version=version)
    return _shown(state, response)


@router.post("/disable", responses=CHANGES)
def disable(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Stop production in an orderly way; in an emergency there is the kill switch, which needs no version."""
    version = seen_version(if_match, change.version)
    state = go_live.disable(control.engine, actor=principal.name, reason=change.reason, version=version)
    return _shown(state, response)


@router.post("/kill-switch/engage", responses=TAKES_BODY)
async def engage_kill_switch(
    control: Controlled, principal: Operator, engagement: KillSwitchEngagement, response: Response
) -> GoLiveStateView:
    """Stop production now. Once this answers, the switch is on disk."""
    # With threads and connections of its own: no other request, however slow, keeps it waiting.
    engage = functools.partial(go_live.engage_kill_switch, actor=principal.name, reason=engagement.reason)
    state = await anyio.to_thread.run_sync(engage, control.engine, limiter=control.switch_threads)
    return _shown(state, response)


@router.post("/kill-switch/release", responses=CHANGES)
def release_kill_switch(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Release the kill switch; go-live is then as it was before."""
    version = seen_version(if_match, change.version)
    state = go_live.release_kill_switch(
        control.engine, actor=principal.name, reason=change.reason, version=version
    )
    return _shown(state, response)


def _shown(state: State, response: Response) -> GoLiveStateView:
    show_version(response, state.version)
    return GoLiveStateView.model_validate(state)
