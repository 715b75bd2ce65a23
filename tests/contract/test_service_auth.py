"""Who may do what over HTTP, and who is said to have done it."""

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from golive import database, governance, tokens
from golive.api import create_app, limits, page, router
from golive.api.production import ProductionMiddleware
from golive.errors import InvalidArgument
from golive.models.base import utc_now
from tests.support.proxy import proxied
from tests.support.service import JSON, audited, bearer, serving, serving_app, token, wait_until
from tests.support.stores import one_store

SAFE = {"GET", "HEAD", "OPTIONS"}
OPEN = {"/livez", "/readyz", "/api/openapi.json"}

PAGE = {route.path for route in page.routes()}

NEEDED = {
    "/api/governance/regression/kpi": "ingest",
    "/v1/logs": "ingest",
    "/api/governance/runbook/gate/flagger": "read",  # a POST because Flagger posts; it only reads
}
"""What a mutating route needs that needs no `operate`."""


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Return method and path of every route, walked, but those of the page (tests/contract/page)."""
    return [
        (method, context.path or "")
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or ())
        if method != "HEAD" and context.path not in PAGE
    ]


def url_of(path: str) -> str:
    return path.replace("{correlation_id}", "deal_1")


@pytest.fixture
def service(production: str) -> Iterator[httpx.Client]:
    with serving(production) as client:
        yield client


@one_store
def test_every_mutating_route_is_refused_without_a_fitting_token(
    production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAILURES_PER_MINUTE", 10_000)
    app = create_app(production)
    mutating = [(method, path) for method, path in routes(app) if method not in SAFE]
    assert {path for _, path in mutating} >= {
        "/api/governance/go-live/enable",
        "/api/governance/go-live/disable",
        "/api/governance/go-live/kill-switch/engage",
        "/api/governance/go-live/kill-switch/release",
        "/api/governance/regression/kpi",
    }
    secret = tokens.create(production, name="gone", scopes=tokens.SCOPES, actor="test")
    tokens.revoke(production, "gone", actor="test", reason="lost")
    late = tokens.create(
        production,
        name="late",
        scopes=tokens.SCOPES,
        actor="test",
        expires_at=utc_now() + dt.timedelta(seconds=0.2),
    )
    time.sleep(0.3)
    refused = [
        {},
        bearer("golive_" + "x" * 43),
        bearer(secret),
        bearer(late),
        {"Authorization": "Basic eA=="},
    ]
    small = {scope: token(production, scope, name=scope) for scope in tokens.SCOPES}
    before = audited(production)
    with serving_app(app) as client:
        for method, path in mutating:
            for headers in refused:
                for content in ("{}", "not json", '{"reason": "x", "version": 1}'):
                    answer = client.request(method, url_of(path), content=content, headers=JSON | headers)
                    assert answer.status_code == 401, (method, path, headers)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    form = "application/json" if path == "/v1/logs" else "application/problem+json"
                    assert answer.headers["content-type"] == form
            for scope in {"read", "ingest", "operate"} - {NEEDED.get(path, "operate")}:
                answer = client.request(method, url_of(path), json={"reason": "x"}, headers=small[scope])
                assert answer.status_code == 403, (method, path, scope)
                assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert audited(production) == before


@one_store
def test_every_reading_route_needs_a_token_unless_the_operator_says_otherwise(production: str) -> None:
    app = create_app(production)
    reading = [path for method, path in routes(app) if method == "GET" and path not in OPEN]
    assert len(reading) >= 8
    with serving_app(app) as client:
        for path in reading:
            assert client.get(url_of(path)).status_code == 401, path
    anonymous = frozenset({"runbook", "metrics", "read"})
    with serving(production, anonymous=anonymous) as client:
        for path in reading:
            assert client.get(url_of(path)).status_code == 200, path
        assert client.post("/api/governance/go-live/disable", json={"reason": "x"}).status_code == 401


@one_store
def test_a_routers_routes_are_as_guarded_in_another_application(
    production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = FastAPI()
    app.include_router(router, prefix="/api")
    with serving_app(app) as client:
        for method, path in routes(app):
            if "/governance" in path or "/kpi" in path:
                assert client.request(method, url_of(path)).status_code == 401, path


@pytest.mark.parametrize("mounted", [False, True])
def test_the_gates_own_doors_stay_open_behind_the_middleware(production: str, mounted: bool) -> None:
    app = FastAPI()
    if mounted:
        app.mount("/gate", create_app(production))
    else:
        app.include_router(router, prefix="/api")
    app.add_middleware(ProductionMiddleware, db=production)
    headers = token(production, "operate", "read")
    with serving_app(app) as client:
        path = f"{'/gate' if mounted else ''}/api/governance/go-live/kill-switch"
        assert client.post(f"{path}/engage", json={"reason": "now"}, headers=headers).status_code == 200
        assert (
            client.post(f"{path}/release", json={"reason": "ok", "version": 2}, headers=headers).status_code
            == 200
        )


def test_who_changed_something_is_taken_from_the_credential(service: httpx.Client, production: str) -> None:
    headers = token(production, "operate", name="alice")
    path = "/api/governance/go-live/kill-switch/engage"
    for field in ("changed_by", "actor", "principal"):
        refused = service.post(path, json={"reason": "now", field: "bob"}, headers=headers)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == field
    answer = service.post(
        path, json={"reason": "now"}, headers=headers | {"X-Forwarded-User": "bob", "From": "bob"}
    )
    assert answer.json()["changed_by"] == "token:alice"
    assert audited(production)[-1]["actor"] == "token:alice"


def test_a_revoked_token_is_refused_within_a_second_or_so(service: httpx.Client, production: str) -> None:
    headers = token(production, "read", name="leaver")
    path = "/api/governance/go-live/state"
    assert service.get(path, headers=headers).status_code == 200
    tokens.revoke(production, "leaver", actor="test", reason="left")
    wait_until(lambda: service.get(path, headers=headers).status_code == 401, 1.5)


def test_only_hashes_are_kept(production: str) -> None:
    secret = tokens.create(production, name="one", scopes=["read"], actor="test")
    with governance.reading(production) as connection:
        dump = str(connection.exec_driver_sql("SELECT * FROM api_token").all())
        trail = str(connection.exec_driver_sql("SELECT * FROM governance_audit").all())
    assert secret not in dump + trail
    assert secret[10:] not in dump + trail


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "taken"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"scopes": []}, "scope"),
        ({"scopes": ["read", "admin"]}, "scope"),
        ({"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "expires_at"),
    ],
)
def test_a_token_that_cannot_be_is_refused_and_nothing_is_written(
    production: str, change: dict[str, Any], field: str
) -> None:
    tokens.create(production, name="taken", scopes=["read"], actor="test")
    before = audited(production)
    with pytest.raises(InvalidArgument) as caught:
        tokens.create(production, **{"name": "new", "scopes": ["read"], "actor": "test"} | change)
    assert caught.value.field == field
    assert audited(production) == before
    with pytest.raises(InvalidArgument, match="name"):
        tokens.revoke(production, "nobody", actor="test", reason="x")


def test_guessing_is_slowed_down_and_does_not_lock_out_who_is_known(
    service: httpx.Client, production: str
) -> None:
    headers = token(production, "read")
    path = "/api/governance/go-live/state"
    assert service.get(path, headers=headers).status_code == 200
    statuses = [service.get(path, headers=bearer(f"golive_{n}")).status_code for n in range(40)]
    assert statuses[:30] == [401] * 30
    assert statuses[-1] == 429
    time.sleep(1.1)  # past what is taken without asking
    assert service.get(path, headers=headers).status_code == 200


def test_requests_are_bounded_per_credential(production: str) -> None:
    one, two = token(production, "read", name="one"), token(production, "read", name="two")
    with serving(production, requests_per_minute=5) as client:
        path = "/api/governance/go-live/state"
        statuses = [client.get(path, headers=one).status_code for _ in range(7)]
        assert sorted(statuses) == [200] * 5 + [429] * 2 or statuses.count(200) > 5  # a minute may begin
        refused = client.get(path, headers=one)
        if refused.status_code == 429:
            assert int(refused.headers["retry-after"]) <= 61
        assert client.get(path, headers=two).status_code == 200
        assert client.get("/livez").status_code == 200


@pytest.mark.faults
def test_while_the_store_is_away_a_known_token_still_reads_and_never_operates(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", "0.5")
    with proxied(postgres_url) as (proxy, url):
        known = token(url, "read", "operate", name="known")
        unknown = token(url, "read", name="unknown")
        with serving(url) as client:
            path = "/api/governance/runbook/gate"
            assert client.get(path, headers=known).status_code in (200, 412)
            proxy.mode = "hang"
            time.sleep(1.1)
            assert client.get(path, headers=known).status_code == 412
            scrape = client.get("/metrics", headers=known)
            assert "golive_runbook_ok_to_enable_go_live 0.0" in scrape.text
            assert client.get(path, headers=unknown).status_code == 503
            engage = client.post(
                "/api/governance/go-live/kill-switch/engage", json={"reason": "x"}, headers=known
            )
            assert engage.status_code == 503  # may be it may: try again
            proxy.mode = "pass"
            wait_until(
                lambda: (
                    client.post(
                        "/api/governance/go-live/kill-switch/engage", json={"reason": "x"}, headers=known
                    ).status_code
                    == 200
                )
            )
        governance.engine_for(url).dispose()
