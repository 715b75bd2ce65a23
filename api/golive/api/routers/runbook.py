"""The runbook and the gates that read it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from golive.api.auth import Requirement
from golive.api.control import Controlled
from golive.api.problems import problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.runbook import ArgoVerdict, GateVerdict, RunbookStatus
from golive.evaluator import Evaluation
from golive.runbook import Runbook, render_runbook_markdown

router = APIRouter(
    prefix="/governance/runbook",
    tags=["runbook"],
    route_class=GateRoute,
    responses=problem_responses(401, 403, 429, 503),
)

_may_read = Depends(Requirement("read", anonymous="runbook"))


class FlaggerHook(BaseModel):
    """What Flagger sends; nothing of it changes the answer."""

    name: str = ""
    namespace: str = ""
    phase: str = ""
    checksum: str = ""
    metadata: dict[str, Any] | None = None

    model_config = {
        "json_schema_extra": {
            "examples": [{"name": "offers", "namespace": "prod", "phase": "confirm-rollout", "metadata": {}}]
        }
    }


@router.get("/status", dependencies=[_may_read])
async def status(control: Controlled, response: Response) -> RunbookStatus:
    """Every check, what it found, and what to do."""
    found = await control.evaluation()
    response.headers.update(_not_cached(found))
    return RunbookStatus.model_validate(found.value)


@router.get(
    "/markdown",
    dependencies=[_may_read],
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"example": "# Go-live runbook\n\n**✅ OK to enable go-live**\n"}}}
    },
)
async def markdown(control: Controlled) -> PlainTextResponse:
    """The same for a person."""
    found = await control.evaluation()
    return PlainTextResponse(render_runbook_markdown(found.value), headers=_not_cached(found))


@router.get(
    "/gate",
    dependencies=[_may_read],
    response_model=GateVerdict | ArgoVerdict,
    responses={412: {"model": GateVerdict, "description": "No-go"}, **problem_responses(422)},
)
async def gate(
    control: Controlled,
    view: Annotated[
        Literal["argo"] | None, Query(description="`argo`: 200 whatever the verdict, under `data`.")
    ] = None,
) -> JSONResponse:
    """Go (200) or no-go (412)."""
    found = await control.evaluation()
    verdict = _verdict(found)
    content = verdict.model_dump(mode="json")
    if view == "argo":
        return JSONResponse({"data": content}, headers=_not_cached(found))
    return JSONResponse(content, 200 if verdict.ok else 412, headers=_not_cached(found))


@router.post(
    "/gate/flagger",
    dependencies=[_may_read],
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"example": "pass"}}},
        403: {
            "description": "No-go, or too small a scope",
            "content": {"text/plain": {"example": "fail: env_sanity"}},
        },
        **problem_responses(408, 413, 415, 422),
    },
)
async def flagger(control: Controlled, hook: FlaggerHook) -> PlainTextResponse:
    """Go (200) or no-go (403): Flagger takes 204 for a failure, and hides the text of a 5xx."""
    found = await control.evaluation()
    verdict = _verdict(found)
    text = ": ".join([verdict.verdict, *([", ".join(verdict.blockers)] if verdict.blockers else [])])
    return PlainTextResponse(text, 200 if verdict.ok else 403, headers=_not_cached(found))


def _verdict(found: Evaluation[Runbook]) -> GateVerdict:
    runbook = found.value
    return GateVerdict(
        verdict=runbook["verdict"],
        ok=runbook["ok_to_enable_go_live"],
        generated_at=runbook["generated_at"],  # type: ignore[arg-type]
        age_s=round(found.age_s, 3),
        blockers=[check["id"] for check in runbook["blockers"]],
        warnings=[check["id"] for check in runbook["warnings"]],
    )


def _not_cached(found: Evaluation[Runbook]) -> dict[str, str]:
    return {"Cache-Control": "no-store", "Age": str(int(found.age_s))}
