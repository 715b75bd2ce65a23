"""The go-live state and the kill switch."""

import functools
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Header, Response

from golive import go_live
from golive.api.auth import Principal, require
from golive.api.control import Controlled
from golive.api.problems import Problem, problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas import ChecklistView, GoLiveStateView, KillSwitchEngagement, StateChange
from golive.go_live import State

router = APIRouter(
    prefix="/governance/go-live",
    tags=["go-live"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)

_may_read = Depends(require("read", anonymous="read"))
Operator = Annotated[Principal, Depends(require("operate"))]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The `ETag` of the state that was read, as `"3"`; `*` for any.'),
]
_changes = problem_responses(408, 412, 413, 415, 422, 428)


@router.get("/state", dependencies=[_may_read])
def read_state(control: Controlled, response: Response) -> GoLiveStateView:
    """Whether production may act."""
    return _shown(go_live.read(control.engine), response)


@router.get("/checklist", dependencies=[_may_read])
def read_checklist(control: Controlled) -> ChecklistView:
    """What has to be there before production may be enabled."""
    return ChecklistView.model_validate(go_live.checklist(control.engine))


@router.post("/enable", responses={**_changes, **problem_responses(409)})
def enable(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Let production act; 409 with the blockers if the runbook has any."""
    version = _version(if_match, change.version)
    state = go_live.enable(control.engine, actor=principal.name, reason=change.reason, version=version)
    return _shown(state, response)


@router.post("/disable", responses=_changes)
def disable(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Stop production in an orderly way; in an emergency there is the kill switch, which needs no version."""
    version = _version(if_match, change.version)
    state = go_live.disable(control.engine, actor=principal.name, reason=change.reason, version=version)
    return _shown(state, response)


@router.post("/kill-switch/engage", responses=problem_responses(408, 413, 415, 422))
async def engage_kill_switch(
    control: Controlled, principal: Operator, engagement: KillSwitchEngagement, response: Response
) -> GoLiveStateView:
    """Stop production now. Once this answers, the switch is on disk."""
    # With threads and connections of its own: no other request, however slow, keeps it waiting.
    engage = functools.partial(go_live.engage_kill_switch, actor=principal.name, reason=engagement.reason)
    state = await anyio.to_thread.run_sync(engage, control.engine, limiter=control.switch_threads)
    return _shown(state, response)


@router.post("/kill-switch/release", responses=_changes)
def release_kill_switch(
    control: Controlled,
    principal: Operator,
    change: StateChange,
    response: Response,
    if_match: IfMatch = None,
) -> GoLiveStateView:
    """Release the kill switch; go-live is then as it was before."""
    version = _version(if_match, change.version)
    state = go_live.release_kill_switch(
        control.engine, actor=principal.name, reason=change.reason, version=version
    )
    return _shown(state, response)


def _shown(state: State, response: Response) -> GoLiveStateView:
    response.headers["ETag"] = f'"{state.version}"'
    response.headers["Cache-Control"] = "no-store"
    return GoLiveStateView.model_validate(state)


def _version(if_match: str | None, in_body: int | None) -> int | None:
    """Return the version the client saw; None where it said `*`."""
    if if_match is None:
        if in_body is None:
            raise Problem(
                428,
                "A version is required",
                "Read the state, and send its ETag as If-Match, or its version in the body.",
            )
        return in_body
    if if_match.strip() == "*":
        return in_body
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 10:
        raise Problem(412, "The version does not match", "If-Match is not the ETag of this state.")
    if in_body is not None and in_body != int(text):
        raise Problem(412, "The version does not match", "If-Match and the body name different versions.")
    return int(text)
