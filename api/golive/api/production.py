"""Refuses what acts in production while production must not act, in any FastAPI or Starlette application.

    app.add_middleware(ProductionMiddleware)      # every POST, PUT, PATCH, DELETE acts in production …

    @app.post("/reports")
    @observe_only                                 # … unless it is marked
    def make_report(): ...

    ProductionMiddleware(app, rules=[Rule("/sandbox/*", SANDBOX_EXEC)])      # … or a rule says so

    @app.post("/offers")
    @prod_exec                                    # refuses by itself, without the middleware as well
    def send_offer(): ...

    @app.post("/deals", dependencies=[Depends(production_only)])             # the same as a dependency

A refused request is answered with 403 and problem details (RFC 9457), whose `reason` says why.
"""

import asyncio
import contextlib
import fnmatch
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple, TypeVar

from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Mount, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from golive.production import Decision, ProductionGate, production_gate

__all__ = [
    "OBSERVE_ONLY",
    "PROD_EXEC",
    "SANDBOX_EXEC",
    "Execution",
    "ProductionMiddleware",
    "Rule",
    "observe_only",
    "prod_exec",
    "production_only",
    "sandbox_exec",
]

Execution = Literal["OBSERVE_ONLY", "SANDBOX_EXEC", "PROD_EXEC"]
"""What a request may do: look, act in a sandbox, act in production."""

OBSERVE_ONLY: Final = "OBSERVE_ONLY"
SANDBOX_EXEC: Final = "SANDBOX_EXEC"
PROD_EXEC: Final = "PROD_EXEC"

MARK: Final = "__golive_execution__"
"""Attribute of an endpoint or a route that says what it does."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CACHED_PATHS: Final = 4096

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Rule(NamedTuple):
    """What requests to some paths do.

    Attributes:
        path: A pattern in which `*` stands for anything, `/` included: `/sandbox/*`.
        execution: What they do.
        methods: Of these methods only; all if empty.
    """

    path: str
    execution: Execution
    methods: frozenset[str] = frozenset()


class ProductionMiddleware:
    """Classifies each request, and answers 403 to `PROD_EXEC` while production must not act.

    The first rule that fits decides; then the mark of the endpoint; then the method: GET, HEAD, OPTIONS and
    TRACE observe, everything else, websockets too, acts in production. The class is in
    `request.state.golive_execution`.

    Args:
        app: The application.
        db: The database of the go-live state; `DATABASE_URL` by default.
        rules: What the paths say.
    """

    def __init__(self, app: ASGIApp, db: object = None, rules: Iterable[Rule] = ()) -> None:
        self.app = app
        self._db = db
        self._rules = [(re.compile(fnmatch.translate(rule.path)), rule) for rule in rules]
        self._gate: ProductionGate | None = None
        self._marks: list[tuple[re.Pattern[str], frozenset[str] | None, Execution | None]] | None = None
        self._classify = functools.lru_cache(_CACHED_PATHS)(self._classify_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        execution = self._execution(scope)
        scope.setdefault("state", {})["golive_execution"] = execution
        if execution == PROD_EXEC:
            decision = await self._decide()
            if not decision.allowed:
                await _refuse(decision, scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _execution(self, scope: Scope) -> Execution:
        if self._marks is None:
            # Those of what is inside; the scope may name an application in which all of this is mounted.
            routed = _routed(self.app)
            self._marks = _marks(routed if hasattr(routed, "routes") else scope.get("app"))
            self._classify.cache_clear()
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return self._classify(scope.get("method", "WEBSOCKET"), path)

    def _classify_path(self, method: str, path: str) -> Execution:
        for pattern, rule in self._rules:
            if (not rule.methods or method in rule.methods) and pattern.match(path):
                return rule.execution
        for pattern, methods, mark in self._marks or ():
            if (methods is None or method in methods) and pattern.match(path):
                if mark is not None:
                    return mark
                break
        return OBSERVE_ONLY if method in _SAFE_METHODS else PROD_EXEC

    async def _decide(self) -> Decision:
        if self._gate is None:
            self._gate = production_gate(self._db)
        return await _decision(self._gate)


def observe_only(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that changes nothing outside, whatever its method."""
    setattr(endpoint, MARK, OBSERVE_ONLY)
    return endpoint


def sandbox_exec(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that acts in a sandbox only."""
    setattr(endpoint, MARK, SANDBOX_EXEC)
    return endpoint


def prod_exec(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that acts in production, and refuse its calls while production must not act."""
    # The endpoint too: with the decorators the other way round it is what the application calls.
    setattr(endpoint, MARK, PROD_EXEC)
    if inspect.iscoroutinefunction(endpoint):

        @functools.wraps(endpoint)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            await production_only()
            return await endpoint(*args, **kwargs)

    else:

        @functools.wraps(endpoint)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            _raise_unless_allowed(production_gate().decide())
            return endpoint(*args, **kwargs)

    return guarded  # type: ignore[return-value]


async def production_only() -> None:
    """Refuse the request while production must not act: a FastAPI dependency."""
    _raise_unless_allowed(await _decision(production_gate()))


async def _decision(gate: ProductionGate) -> Decision:
    at_once = gate.decide_at_once()
    return at_once if at_once is not None else await asyncio.to_thread(gate.decide)


def _raise_unless_allowed(decision: Decision) -> None:
    if not decision.allowed:
        raise HTTPException(403, detail=_problem(decision))  # type: ignore[arg-type]


def _problem(decision: Decision) -> dict[str, Any]:
    return {
        "type": "/problems/production-refused",
        "title": "Production is refused",
        "status": 403,
        "detail": decision.message,
        "reason": decision.reason,
    }


async def _refuse(decision: Decision, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": decision.message})
        return
    response = JSONResponse(
        _problem(decision), 403, {"Cache-Control": "no-store"}, "application/problem+json"
    )
    await response(scope, receive, send)


def _routed(app: Any) -> Any:
    """Return the application inside its middleware."""
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app
    return app


def _marks(
    app: Any, prefix: str = ""
) -> list[tuple[re.Pattern[str], frozenset[str] | None, Execution | None]]:
    """Return path, methods and mark of every route, mounted ones too, in the order they are tried in."""
    found: list[tuple[re.Pattern[str], frozenset[str] | None, Execution | None]] = []
    for context in iter_route_contexts(getattr(app, "routes", ())):
        route, path = context.original_route, context.path
        if isinstance(route, Mount):
            found += _marks(_routed(route.app), prefix + route.path)
            # Whatever else is there has no mark, and no later route is asked.
            found.append((compile_path(f"{prefix}{route.path}/{{path:path}}")[0], None, None))
        elif path is not None:
            mark = getattr(context.endpoint, MARK, None) or getattr(route, MARK, None)
            methods = context.methods
            with contextlib.suppress(ValueError):  # a parameter of the mount's own name: no mark, then
                pattern = compile_path(prefix + path)[0]
                found.append((pattern, frozenset(methods) if methods else None, mark))
    return found
