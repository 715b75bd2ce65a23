"""What the platform asks: is this process alive, is it ready, and its metrics."""

import contextlib

import anyio
from fastapi import APIRouter, Depends, Request, Response

from golive.api.auth import Requirement
from golive.api.control import ANSWER_WAIT_S, Controlled
from golive.api.problems import problem_responses
from golive.api.routes import GateRoute
from golive.api.schemas.operations import Health

router = APIRouter(tags=["operations"], route_class=GateRoute)

_may_scrape = Depends(Requirement("read", anonymous="metrics"))


@router.get("/livez")
async def livez() -> Health:
    """Whether this process answers at all."""
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(control: Controlled, response: Response) -> Health:
    """Whether this process reaches its store. Never the gate: a no-go must not take the pods out."""
    problem = (await control.readiness.awaited(ANSWER_WAIT_S)).value
    if problem is None:
        return Health(status="ok")
    response.status_code = 503
    return Health(status="unavailable", detail=problem)


@router.get(
    "/metrics",
    dependencies=[_may_scrape],
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"example": "golive_go_live_enabled 1.0\n"}}},
        **problem_responses(401, 403, 429, 503),
    },
)
async def metrics(control: Controlled, request: Request) -> Response:
    """What Prometheus scrapes; OpenMetrics, with exemplars, for a client that accepts it."""
    accept = request.headers.get("accept", "")
    body, content_type = await anyio.to_thread.run_sync(
        control.render_metrics, accept, _scrape_timeout_s(request), limiter=control.scrape_threads
    )
    return Response(body, media_type=content_type)


def _scrape_timeout_s(request: Request) -> float | None:
    # A scrape must not fail for a header that is none.
    with contextlib.suppress(ValueError):
        return float(request.headers.get("x-prometheus-scrape-timeout-seconds", ""))
    return None
