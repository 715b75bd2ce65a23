"""The application: every route of golive, as `golive serve` runs it."""

import contextlib
import datetime as dt
import functools
import importlib.metadata
import logging
import math
import time
from collections.abc import AsyncIterator

import anyio
from fastapi import APIRouter, FastAPI
from sqlalchemy.exc import SQLAlchemyError

from golive import audit, governance, pipeline, readers, regression
from golive.api import page, problems
from golive.api.control import Control, build_control
from golive.api.hardening import HardeningMiddleware
from golive.api.routers import go_live, heimdall, kpi, operations, otlp, risk, runbook
from golive.api.routers import regression as regression_router
from golive.asgi import CorrelationMiddleware
from golive.errors import GoliveError
from golive.models.base import utc_now
from golive.settings import ServiceSettings

_log = logging.getLogger(__name__)

_DESCRIPTION = """
May we go live, is it still going well, and what happened in deal 123?

Errors are problem details (RFC 9457). Every change takes its actor from the credential, and its reason into
the audit trail.
"""

router = APIRouter()
"""The routes below `/api`, for an application of your own: `app.include_router(router, prefix="/api")`."""
router.include_router(runbook.router)
router.include_router(go_live.router)
router.include_router(risk.router)
router.include_router(heimdall.router)
router.include_router(regression_router.router)
router.include_router(kpi.taking)
router.include_router(kpi.router)


def create_app(database_url: str | None = None, settings: ServiceSettings | None = None) -> FastAPI:
    """Return the service on a database, by default the one of `DATABASE_URL`.

    Args:
        database_url: The store, SQLite or PostgreSQL, with golive's tables.
        settings: Bounds, issuer, and what needs no token; from the environment by default.

    Raises:
        ConfigurationError: A setting cannot work.
    """
    control = build_control(database_url, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Now, so that the first scrape finds the account of this store, and dead processes' events go out.
        await anyio.to_thread.run_sync(pipeline.configure, readers.store_of(control.engine))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_verify_audit_chain, control)
            if control.settings.evaluate_interval_s:
                tasks.start_soon(_evaluate_tripwires, control)
            yield
            tasks.cancel_scope.cancel()

    app = FastAPI(
        title="golive",
        summary="Business-KPI telemetry and a production gate.",
        description=_DESCRIPTION,
        version=importlib.metadata.version("golive"),
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # the page has them, from files of its own
        redoc_url=None,
    )
    app.state.golive = control
    app.include_router(router, prefix="/api")
    app.include_router(operations.router)
    app.include_router(otlp.router)
    app.router.routes.extend(page.routes())
    app.add_middleware(CorrelationMiddleware)
    app.add_middleware(HardeningMiddleware, hosts=control.settings.hosts)
    problems.install(app)
    return app


async def _verify_audit_chain(control: Control) -> None:
    """Verify the whole chain once an interval, unless another process has."""
    while True:
        await anyio.to_thread.run_sync(_verify_unless_done, control, abandon_on_cancel=True)
        await anyio.sleep(control.settings.audit_interval_s)


def _verify_unless_done(control: Control) -> None:
    try:
        with control.engine.connect() as connection:
            last = audit.last_verification(connection)[2]
        age_s = abs((utc_now() - last.at).total_seconds()) if last is not None else math.inf  # clocks jump
        if age_s >= control.settings.audit_interval_s / 2:
            found = audit.verify(control.engine.url)
            if not found.ok:
                _log.error("the audit chain is broken at row %s: %s", found.broken_id, found.problem)
    except (SQLAlchemyError, GoliveError) as error:
        _log.warning("the audit chain could not be verified: %s", type(error).__name__)


async def _evaluate_tripwires(control: Control) -> None:
    """Evaluate the enabled tripwires once an interval, but those another process has."""
    began = time.monotonic()
    own = anyio.CapacityLimiter(1)  # no request, however slow, keeps a trip waiting
    evaluate = functools.partial(_evaluate_due, control, began)
    while True:
        await anyio.to_thread.run_sync(evaluate, abandon_on_cancel=True, limiter=own)
        await anyio.sleep(control.settings.evaluate_interval_s)


def _evaluate_due(control: Control, began: float) -> None:
    half = control.settings.evaluate_interval_s / 2
    try:
        with governance.reading(control.engine) as connection:
            now = governance.now_of(connection)
        # By the database's clock as well: this machine's may be wrong, or may have been set meanwhile.
        up_since = now - dt.timedelta(seconds=time.monotonic() - began)
        evaluated = regression.evaluate_all(control.engine, now=now, up_since=up_since, older_than_s=half)
    except Exception as error:  # a row that cannot be read must not end the schedule, and the service with it
        _log.warning("the tripwires could not be evaluated: %s", type(error).__name__)
        return
    for each in evaluated:
        if each.problem is not None:
            _log.error("a tripwire could not be evaluated: %s", each.problem)
