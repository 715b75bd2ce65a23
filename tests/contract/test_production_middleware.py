"""The middleware, the marks and the dependency, in FastAPI and Starlette applications."""

import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from golive import go_live, production
from golive.api.production import (
    OBSERVE_ONLY,
    PROD_EXEC,
    SANDBOX_EXEC,
    ProductionMiddleware,
    Rule,
    observe_only,
    prod_exec,
    production_only,
    sandbox_exec,
)
from golive.errors import ProductionRefused

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def _forget_gates() -> Iterator[None]:
    production._gates.clear()
    yield
    production._gates.clear()


def an_app(**middleware: Any) -> FastAPI:
    app, router = FastAPI(), APIRouter()

    @router.post("/reports/{number}")
    @observe_only
    def report(number: int) -> str:
        return "reported"

    @router.post("/trials")
    @sandbox_exec
    async def trial(request: Request) -> str:
        return str(request.state.golive_execution)

    @router.get("/deals/{number}")
    def show(number: int, request: Request) -> str:
        return str(request.state.golive_execution)

    @router.post("/deals/{number}")
    async def book(number: int, request: Request) -> str:
        return str(request.state.golive_execution)

    @router.get("/send-now")
    @prod_exec
    def send_now(twice: Annotated[bool, Depends(lambda: True)]) -> bool:
        return twice

    app.include_router(router, prefix="/api")
    app.add_middleware(ProductionMiddleware, **middleware)
    return app


async def ask(app: Any, method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path)


def call(app: Any, method: str, path: str) -> tuple[int, Any]:
    import asyncio

    response = asyncio.run(ask(app, method, path))
    return response.status_code, response.json() if "json" in response.headers[
        "content-type"
    ] else response.text


def test_while_go_live_is_off_only_what_acts_in_production_is_refused(production: str) -> None:
    app = an_app()
    assert call(app, "GET", "/api/deals/1") == (200, OBSERVE_ONLY)
    assert call(app, "POST", "/api/reports/1") == (200, "reported")
    assert call(app, "POST", "/api/trials") == (200, SANDBOX_EXEC)
    status, problem = call(app, "POST", "/api/deals/1")
    assert status == 403
    assert problem["reason"] == "go_live_disabled"
    assert call(app, "GET", "/api/send-now")[0] == 403
    assert call(app, "DELETE", "/nowhere")[0] == 403  # what nobody knows may act


def test_once_enabled_it_passes_and_the_kill_switch_stops_it(production: str) -> None:
    app = an_app()
    go_live.enable(production, actor="ops", reason="week 1")
    assert call(app, "POST", "/api/deals/1") == (200, PROD_EXEC)
    assert call(app, "GET", "/api/send-now") == (200, True)
    go_live.engage_kill_switch(production, actor="ops", reason="now")
    threading.Event().wait(0.3)
    assert call(app, "POST", "/api/deals/1")[1]["reason"] == "kill_switch_engaged"
    assert call(app, "GET", "/api/deals/1")[0] == 200


def test_rules_come_before_marks_and_methods(production: str) -> None:
    rules = [
        Rule("/api/deals/9*", SANDBOX_EXEC, frozenset({"POST"})),
        Rule("/api/reports/*", PROD_EXEC),
        Rule("/api/deals/*", OBSERVE_ONLY, frozenset({"PUT"})),
    ]
    app = an_app(rules=rules)
    assert call(app, "POST", "/api/deals/99") == (200, SANDBOX_EXEC)
    assert call(app, "POST", "/api/deals/1")[0] == 403
    assert call(app, "POST", "/api/reports/1")[0] == 403
    assert call(app, "PUT", "/api/deals/1")[0] == 405


def test_without_enforcement_only_the_kill_switch_stops(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", store)
    monkeypatch.delenv("ENV", raising=False)
    monkeypatch.setenv("GO_LIVE_ENFORCE", "0")
    app = an_app()
    assert call(app, "POST", "/api/deals/1")[0] == 200
    go_live.engage_kill_switch(store, actor="ops", reason="now")
    threading.Event().wait(0.3)
    assert call(app, "POST", "/api/deals/1")[0] == 403


def test_env_production_enforces_whatever_go_live_enforce_says(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", store)
    monkeypatch.setenv("ENV", "production")
    monkeypatch.setenv("GO_LIVE_ENFORCE", "0")
    assert call(an_app(), "POST", "/api/deals/1")[0] == 403


def test_a_database_without_tables_is_no_permission(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_LIVE_ENFORCE", "1")
    app = an_app(db=postgres_url)
    assert call(app, "POST", "/api/deals/1")[1]["reason"] == "state_unknown"
    assert call(app, "GET", "/api/deals/1")[0] == 200


def test_a_dependency_refuses_without_the_middleware(production: str) -> None:
    app = FastAPI()

    @app.post("/deals", dependencies=[Depends(production_only)])
    def book() -> str:
        return "booked"

    @app.post("/offers")
    @prod_exec
    async def offer() -> str:
        return "offered"

    for path in ("/deals", "/offers"):
        status, answer = call(app, "POST", path)
        assert (status, answer["detail"]["reason"]) == (403, "go_live_disabled")
    go_live.enable(production, actor="ops", reason="week 1")
    threading.Event().wait(0.3)
    assert call(app, "POST", "/deals") == (200, "booked")
    assert call(app, "POST", "/offers") == (200, "offered")


def test_starlette_applications_and_mounts(production: str) -> None:
    @observe_only
    async def look(request: Request) -> PlainTextResponse:
        return PlainTextResponse("looked")

    async def act(request: Request) -> PlainTextResponse:
        return PlainTextResponse("acted")

    inner = Starlette(routes=[Route("/act", act, methods=["POST"])])
    routes = [
        Route("/look", look, methods=["POST"]),
        Route("/act", act, methods=["POST"]),
        Mount("/sub", inner),
    ]
    inside = Starlette(routes=routes)
    inside.add_middleware(ProductionMiddleware)
    around = ProductionMiddleware(Starlette(routes=routes))
    for app in (inside, around):
        assert call(app, "POST", "/look") == (200, "looked")
        assert call(app, "POST", "/act")[0] == 403
        assert call(app, "POST", "/sub/act")[0] == 403


def test_a_mounted_application_under_a_root_path(production: str) -> None:
    outer = FastAPI()
    outer.mount("/inner", an_app())
    assert call(outer, "POST", "/inner/api/reports/1") == (200, "reported")
    assert call(outer, "POST", "/inner/api/deals/1")[0] == 403


def test_a_websocket_is_refused_before_it_opens(production: str) -> None:
    import asyncio

    sent: list[Any] = []

    async def never(*_: Any) -> None:
        raise AssertionError("the application was reached")

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/ws", "headers": []}
    asyncio.run(ProductionMiddleware(never)(scope, receive, send))
    assert sent[0]["type"] == "websocket.close"


def test_code_without_requests_asks_the_same(production: str) -> None:
    from golive.production import require_production

    with pytest.raises(ProductionRefused) as refused:
        require_production(production)
    assert refused.value.reason == "go_live_disabled"
    go_live.enable(production, actor="ops", reason="week 1")
    threading.Event().wait(0.3)
    require_production(production)


def test_a_mounted_application_is_classified_by_its_own_marks(production: str) -> None:
    def marked(mark: Callable[[Any], Any]) -> Starlette:
        async def answer(request: Request) -> PlainTextResponse:
            return PlainTextResponse("answered")

        return Starlette(routes=[Route("/{name}/reports", mark(answer), methods=["POST"])])

    outer = Starlette(
        routes=[
            Mount("/looks", marked(observe_only)),
            Mount("/acts", marked(lambda endpoint: endpoint)),
            Mount("/{name}", marked(observe_only)),
            *marked(observe_only).routes,
        ]
    )
    outer.mount("/guarded", ProductionMiddleware(marked(lambda endpoint: endpoint)))
    outer.router.routes.insert(0, outer.router.routes.pop())
    for app in (ProductionMiddleware(outer), ProductionMiddleware(ProductionMiddleware(outer))):
        assert call(app, "POST", "/looks/a/reports") == (200, "answered")
        assert call(app, "POST", "/acts/a/reports")[0] == 403
        assert call(app, "POST", "/acts/reports")[0] == 403  # the last route is behind the mount
    # Mounted with a middleware of its own, which must not ask the marks of what it is mounted in.
    assert call(outer, "POST", "/guarded/a/reports")[0] == 403


def test_the_marks_may_stand_on_either_side_of_the_route(production: str) -> None:
    app = FastAPI()

    @prod_exec
    @app.get("/send-now")
    def send_now() -> str:
        return "sent"

    @observe_only
    @app.post("/reports")
    def report() -> str:
        return "reported"

    app.add_middleware(ProductionMiddleware)
    assert call(app, "GET", "/send-now")[0] == 403
    assert call(app, "POST", "/reports") == (200, "reported")
