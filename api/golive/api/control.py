"""What a request needs of the service it reached: the database, the gate, who may do what, and the bounds."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from golive import database, governance, settings
from golive.api.auth import Authenticator
from golive.api.limits import Limits
from golive.api.shared import Shared
from golive.api.turns import Turns
from golive.errors import SchemaError
from golive.evaluator import Evaluation, Evaluator, LeversEvaluator, RunbookEvaluator, StateEvaluator
from golive.exporters.prometheus import KpiCollector, render
from golive.exporters.prometheus_gate import SCRAPE_WAIT_S, GateCollector
from golive.production import production_gate
from golive.runbook import Runbook
from golive.settings import ServiceSettings

ANSWER_WAIT_S = 11.0
"""How long an answer waits for the runbook; a check takes 10 s at most."""
_SCRAPE_THREADS = 16
_SWITCH_THREADS = 4
_KPI_THREADS = 2
_OTLP_THREADS = 2
_PAGE_THREADS = 4
_RATES_KEPT_S = 2.0
_READINESS_INTERVAL_S = 1.0
_SCRAPE_MARGIN = 0.8


@dataclass
class Control:
    """The parts of one service; kept at `app.state.golive`."""

    engine: Engine
    """golive's own: whatever waits for the database waits no longer than the deadline."""
    settings: ServiceSettings
    authenticator: Authenticator
    limits: Limits
    evaluator: RunbookEvaluator
    levers: LeversEvaluator
    state: StateEvaluator
    readiness: Evaluator[str | None]
    """Why the store cannot be used; None if it can."""
    scrape_threads: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(_SCRAPE_THREADS)
    )
    """For scrapes, apart from the threads that slow requests may use up."""
    switch_threads: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(_SWITCH_THREADS)
    )
    """For the kill switch alone."""
    page_threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_PAGE_THREADS))
    """For the overview, which may read for seconds: however many look, nothing else waits."""
    page_rates: Shared = field(default_factory=lambda: Shared(_RATES_KEPT_S))
    """What the overview costs most: the rates, read once for all who look at the same range."""
    backtest_threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    """One backtest keeps a core busy for seconds."""
    kpi_turns: Turns = field(default_factory=lambda: Turns(_KPI_THREADS))
    """For those who bring events as JSON; they never wait for the store."""
    otlp_turns: Turns = field(default_factory=lambda: Turns(_OTLP_THREADS))
    """For those who bring them by OTLP; its smallest body takes sixty times its size while it is read."""

    async def evaluation(self, *, afresh: bool = False) -> Evaluation[Runbook]:
        """Return the runbook, not older than its interval; begun from now on if `afresh`."""
        return await self.evaluator.awaited(ANSWER_WAIT_S, afresh=afresh)

    def render_metrics(self, accept: str, scrape_timeout_s: float | None) -> tuple[bytes, str]:
        """Return the metrics and their content type, within what Prometheus waits for them."""
        wait_s = SCRAPE_WAIT_S
        if scrape_timeout_s is not None and scrape_timeout_s > 0:
            wait_s = min(wait_s, scrape_timeout_s * _SCRAPE_MARGIN)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(KpiCollector())
        registry.register(GateCollector(self.evaluator, self.levers, self.state, wait_s))
        return render(registry, accept)


def build_control(db: object = None, given: ServiceSettings | None = None) -> Control:
    """Return the parts of a service on a database, by default those the environment says.

    Raises:
        ConfigurationError: A setting cannot work.
    """
    service = given or settings.service_from_environment()
    gate = settings.gate_from_environment()
    url = governance.url_of(db)
    engine = governance.engine_for(url)
    limits = Limits(service)
    return Control(
        engine=engine,
        settings=service,
        authenticator=Authenticator(governance.engine_for(url, lane="switch"), service, limits),
        limits=limits,
        evaluator=RunbookEvaluator(url, gate.runbook_interval_s),
        levers=LeversEvaluator(url, gate.runbook_interval_s),
        state=StateEvaluator(production_gate(url)),
        readiness=Evaluator(lambda: _store_problem(engine), _READINESS_INTERVAL_S, lambda why: why),
    )


def _store_problem(engine: Engine) -> str | None:
    try:
        with engine.connect() as connection:
            database.check_schema(connection)
    except SchemaError:
        return "golive's tables are missing, or of an older version"
    except SQLAlchemyError:
        return "the store cannot be reached"
    return None


def control_of(connection: HTTPConnection) -> Control:
    """Return the service a request reached; made from the environment at the first request if need be."""
    state: Any = connection.app.state
    if not hasattr(state, "golive"):
        state.golive = build_control()
    control: Control = state.golive
    return control


async def _controlled(request: Request) -> Control:  # async, for FastAPI runs others in the shared threads
    return control_of(request)


Controlled = Annotated[Control, Depends(_controlled)]
"""A parameter of a route."""
