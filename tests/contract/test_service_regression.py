"""The tripwires over HTTP: both of the first examples, evaluation, re-arm, policies, gauges, schedule."""

import math
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from golive import go_live, regression
from golive.api import backtests
from golive.api.production import ProductionMiddleware, prod_exec
from tests.support.service import audited, serving, serving_app, token, wait_until
from tests.support.stores import one_store
from tests.support.wires import CAPITAL, WHOLESALE, at_rate, enable, fill, standing

REGRESSION = "/api/governance/regression"
NAMES = {"domain": "WHOLESALE", "metric": "contract_rate"}


@pytest.fixture
def service(store: str) -> Iterator[httpx.Client]:
    """A client that may operate; nothing is evaluated by itself."""
    with serving(store, evaluate_interval_s=0) as client:
        client.headers.update(token(store, "read", "operate", "ingest"))
        yield client


def policy(client: httpx.Client, **values: Any) -> httpx.Response:
    body = NAMES | {"reason": "week 2", "version": 1} | values
    return client.post(f"{REGRESSION}/policies/upsert", json=body)


def state(client: httpx.Client, metric: str = "contract_rate") -> dict[str, Any]:
    found = client.get(f"{REGRESSION}/state").json()["states"]
    return next(each for each in found if each["metric"] == metric)


def test_the_first_example_over_http_from_the_events_to_the_re_arm(
    store: str, service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", store)
    assert policy(service, enabled=True).json()["version"] == 2
    batch = [NAMES | {"success": ok} for ok in at_rate(0.95, 200) + at_rate(0.74, 50)]
    recorded = service.post(f"{REGRESSION}/kpi", json={"events": batch}).json()["event_ids"]

    [found] = service.post(f"{REGRESSION}/evaluate", json={}).json()["evaluations"]
    assert (found["tripped"], found["triggered"], found["verdict"]) == (True, True, "triggered")
    assert found["drop_fraction"] == pytest.approx(0.22, abs=0.002)
    assert {event["id"] for event in found["finding"]["failing"]} <= set(recorded)
    assert found["acts"] == ["WHOLESALE was throttled from 1 to nothing: its risk policy is disabled"]
    denied = service.post(
        "/api/governance/risk/check-and-reserve", json={"engine": "WHOLESALE", "amount": "1.00"}
    )
    assert (denied.status_code, denied.json()["reason"]) == (403, "policy_disabled")
    triggered = 'golive_tripwire_triggered{domain="WHOLESALE",metric="contract_rate"} 1.0'
    wait_until(lambda: triggered in metrics(service))
    assert [act["action"] for act in audited(store)][-2:] == ["risk_policy.throttle", "regression_state.trip"]
    tripped = state(service)
    assert tripped["evidence"]["failures"] == 13
    warnings = service.get("/api/governance/runbook/status").json()["warnings"]
    assert "Tripped: WHOLESALE.contract_rate." in [check["message"] for check in warnings]

    release = NAMES | {"reason": "the price feed is mended"}
    assert service.post(f"{REGRESSION}/rearm", json=release).status_code == 428
    stale = service.post(f"{REGRESSION}/rearm", json=release, headers={"If-Match": '"9"'})
    assert (stale.status_code, stale.json()["version"]) == (412, tripped["version"])
    seen = {"If-Match": f'"{tripped["version"]}"'}
    rearmed = service.post(f"{REGRESSION}/rearm", json=release | {"restore_throttle": True}, headers=seen)
    assert (rearmed.status_code, rearmed.json()["triggered"]) == (200, False)
    assert rearmed.json()["rearmed_by"] == "token:tester"
    again = release | {"version": rearmed.json()["version"]}
    assert service.post(f"{REGRESSION}/rearm", json=again).status_code == 409
    triggered = 'golive_tripwire_triggered{domain="WHOLESALE",metric="contract_rate"} 0.0'
    wait_until(lambda: triggered in metrics(service))
    service.post(
        "/api/governance/risk/check-and-reserve", json={"engine": "WHOLESALE", "amount": "1.00"}
    ).raise_for_status()


def test_money_that_turns_into_loss_stops_production_over_http(
    production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_STATE_MAX_AGE_SECONDS", "1")
    app = FastAPI()

    @app.post("/offers")
    @prod_exec
    def send_offer() -> dict[str, bool]:
        return {"sent": True}

    app.add_middleware(ProductionMiddleware)
    go_live.enable(production, actor="ops", reason="week 1")
    draw = random.Random(7)
    fill(production, CAPITAL, [draw.gauss(500, 40) for _ in range(200)] + [draw.gauss(-300, 40)] * 50)
    with serving_app(app) as business, serving(production, evaluate_interval_s=0) as client:
        client.headers.update(token(production, "read", "operate"))
        enable(production, CAPITAL)
        assert business.post("/offers").status_code == 200
        body = {"domain": "CAPITAL", "metric": "roi_event"}
        [found] = client.post(f"{REGRESSION}/evaluate", json=body).json()["evaluations"]
        assert found["acts"] == ["the kill switch was engaged"]
        assert (found["baseline"] > 490, found["current"] < -200) == (True, True)
        wait_until(lambda: business.post("/offers").status_code == 403)


def test_a_policy_over_http_keeps_what_is_not_named_and_pins_and_unpins(
    store: str, service: httpx.Client
) -> None:
    made = policy(service, blind_after_s=90.0, throttle_ladder=[0.5, 0.0]).json()
    assert (made["mode"], made["blind_after_s"], made["throttle_ladder"]) == ("threshold", 90, [0.5, 0])
    fill(store, WHOLESALE, at_rate(0.9, 100))
    pin = NAMES | {"reason": "well", "version": 2}
    pinned = service.post(f"{REGRESSION}/policies/pin", json=pin).json()
    assert pinned["pinned_baseline"] == {"kind": "rate", "level": 0.9, "n": 100}
    decreed = policy(service, version=3, pinned_baseline={"kind": "rate", "level": 0.8, "n": 500}).json()
    assert (decreed["pinned_baseline"]["level"], decreed["blind_after_s"]) == (0.8, 90)
    assert policy(service, version=4, unpin=True, blind_after_s=0.0).json()["pinned_baseline"] is None
    listed = service.get(f"{REGRESSION}/policies").json()["policies"]
    assert [each["blind_after_s"] for each in listed] == [None] * 4


@one_store
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("policies/upsert", NAMES | {"reason": "r", "version": 7}, 412),
        ("policies/upsert", NAMES | {"reason": "r"}, 428),
        ("policies/upsert", NAMES | {"reason": "r", "version": 1, "window_events": 0}, 422),
        ("policies/upsert", NAMES | {"reason": "r", "version": 1, "mode": "guess"}, 422),
        ("policies/upsert", NAMES | {"reason": "r", "version": 1, "false_trips": 0.5}, 422),
        ("policies/upsert", NAMES | {"reason": "r", "version": 1, "throttle_ladder": [0.1, 0.2]}, 422),
        ("policies/upsert", NAMES | {"reason": "r", "version": 1, "surprise": 1}, 422),
        ("policies/pin", NAMES | {"reason": "no events", "version": 1}, 422),
        ("policies/pin", {"domain": "NO", "metric": "wire", "reason": "r", "version": 0}, 404),
        ("evaluate", {"domain": "WHOLESALE"}, 422),
        ("evaluate", {"domain": "NO", "metric": "wire"}, 404),
        ("evaluate", {"domain": "NO\0", "metric": "wire"}, 422),
        ("rearm", NAMES | {"reason": "r", "version": 0}, 409),
        ("rearm", NAMES | {"reason": "", "version": 0}, 422),
    ],
)
def test_a_request_that_cannot_be_is_refused_and_changes_nothing(
    store: str, service: httpx.Client, path: str, body: dict[str, Any], status: int
) -> None:
    answer = service.post(f"{REGRESSION}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert [act["action"] for act in audited(store)] == ["token.create"]


def test_who_may_only_read_changes_nothing(store: str, service: httpx.Client) -> None:
    reader = token(store, "read", name="reader")
    assert service.get(f"{REGRESSION}/state", headers=reader).status_code == 200
    for path in ("policies/upsert", "policies/pin", "evaluate", "rearm"):
        assert service.post(f"{REGRESSION}/{path}", json={}, headers=reader).status_code == 403


def test_the_service_evaluates_by_itself_and_says_when(store: str) -> None:
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    with serving(store, evaluate_interval_s=0.2, anonymous=frozenset({"metrics", "read"})) as client:
        wait_until(lambda: state(client)["triggered"])
        checked = state(client)["last_checked_at"]
        wait_until(lambda: state(client)["last_checked_at"] != checked)
        shown = metrics(client)
    assert (
        'golive_tripwire_verdict{domain="WHOLESALE",metric="contract_rate",verdict="triggered"} 1.0' in shown
    )
    assert 'golive_tripwire_drop_ratio{domain="WHOLESALE",metric="contract_rate"} 1.0' in shown
    assert 'golive_tripwire_evaluated_timestamp_seconds{domain="WHOLESALE",metric="contract_rate"}' in shown
    assert 'golive_tripwire_enabled{domain="CAPITAL",metric="roi_event"} 0.0' in shown
    assert 'golive_tripwire_drop_ratio{domain="CAPITAL"' not in shown


def test_a_blind_wire_is_a_warning_of_the_runbook(store: str, service: httpx.Client) -> None:
    enable(store, WHOLESALE, blind_after_s=0.001)
    fill(store, WHOLESALE, [True] * 250, gap_s=0.001)
    wait_until(lambda: regression.evaluate_policy(store, *WHOLESALE).state.verdict == "blind")
    warnings = service.get("/api/governance/runbook/status").json()["warnings"]
    [found] = [check for check in warnings if check["id"] == "tripwires_clear"]
    assert found["message"] == "Blind, for their events have stopped: WHOLESALE.contract_rate."
    assert not standing(store, WHOLESALE).triggered


def test_an_enabled_wire_that_nobody_evaluates_is_a_warning_of_the_runbook(
    store: str, service: httpx.Client
) -> None:
    enable(store, WHOLESALE)
    warnings = service.get("/api/governance/runbook/status").json()["warnings"]
    [found] = [check for check in warnings if check["id"] == "tripwires_clear"]
    assert found["message"] == "Enabled, and never evaluated: WHOLESALE.contract_rate."
    assert found["detail"] == {
        "tripped": [],
        "blind": [],
        "never_evaluated": ["WHOLESALE.contract_rate"],
    }


def metrics(client: httpx.Client) -> str:
    return client.get("/metrics").text


def test_a_backtest_that_takes_too_long_is_refused(
    store: str, service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, WHOLESALE, at_rate(0.9, 300))
    begun_long_ago = SimpleNamespace(monotonic=lambda: -math.inf)
    monkeypatch.setattr(backtests, "time", begun_long_ago)
    refused = service.post(f"{REGRESSION}/backtest", json=NAMES)
    assert refused.status_code == 422
    assert "fewer evaluations" in refused.text


def test_the_schedule_outlives_a_row_that_cannot_be_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate_all, asked = regression.evaluate_all, list[int]()

    def failing_first(*arguments: Any, **more: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError("this is no JSON")
        return evaluate_all(*arguments, **more)

    monkeypatch.setattr(regression, "evaluate_all", failing_first)
    enable(store, WHOLESALE)
    fill(store, WHOLESALE, [True] * 200 + [False] * 50)
    with serving(store, evaluate_interval_s=0.2):
        wait_until(lambda: any(act["action"] == "regression_state.trip" for act in audited(store)))
