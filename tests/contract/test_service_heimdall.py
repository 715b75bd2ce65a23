"""The confidence charter over HTTP: trials, recommendations gated twice, promotion, policies."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.service import JSON, audited, serving, token

HEIMDALL = "/api/governance/heimdall"
POLICY = {
    "domain": "BUYER_MATCH",
    "min_confidence_prod": 0.9,
    "min_sandbox_trials": 4,
    "min_sandbox_success_rate": 0.75,
    "prod_use_enabled": False,
    "reason": "a small sandbox",
}
RECOMMENDATION = {"domain": "BUYER_MATCH", "confidence": 0.95, "recommendation": {"buyer": 17}}


@pytest.fixture
def service(store: str) -> Iterator[httpx.Client]:
    """A client that may operate."""
    with serving(store) as client:
        client.headers.update(token(store, "read", "operate"))
        client.post(f"{HEIMDALL}/policies/upsert", json=POLICY | {"version": 1}).raise_for_status()
        yield client


def try_out(client: httpx.Client, *outcomes: bool) -> None:
    for success in outcomes:
        trial = {"domain": "BUYER_MATCH", "success": success, "confidence": 0.9}
        assert client.post(f"{HEIMDALL}/sandbox/trial", json=trial).status_code == 204


def scorecard(client: httpx.Client) -> dict[str, Any]:
    found = client.get(f"{HEIMDALL}/scorecard/today").json()["scorecards"]
    return next(card for card in found if card["domain"] == "BUYER_MATCH")


def use(client: httpx.Client, recommendation_id: str) -> httpx.Response:
    return client.post(f"{HEIMDALL}/require-prod-eligible", json={"recommendation_id": recommendation_id})


def test_a_domain_earns_production_and_loses_it_again(service: httpx.Client, store: str) -> None:
    promotion = {"domain": "BUYER_MATCH", "reason": "it did well", "version": 2}
    try_out(service, True, True)
    refused = service.post(f"{HEIMDALL}/promote", json=promotion)
    assert (refused.status_code, refused.json()["reason"]) == (403, "too_few_trials")
    try_out(service, False, False)
    assert service.post(f"{HEIMDALL}/promote", json=promotion).json()["reason"] == "success_rate_too_low"
    assert scorecard(service)["reason"] == "success_rate_too_low"
    early = service.post(f"{HEIMDALL}/recommend", json=RECOMMENDATION).json()
    assert (early["prod_eligible"], early["gate_reason"]) == (False, "prod_use_disabled")

    try_out(service, *[True] * 6)
    card = scorecard(service)
    assert (card["trials"], card["successes"], card["success_rate"], card["proven"]) == (10, 8, 0.8, True)
    assert service.post(f"{HEIMDALL}/promote", json=promotion | {"version": 1}).status_code == 412
    promoted = service.post(f"{HEIMDALL}/promote", json=promotion)
    assert (promoted.json()["prod_use_enabled"], promoted.headers["etag"]) == (True, '"3"')
    acts = [(act["action"], act["ok"], act["actor"]) for act in audited(store)[-3:]]
    assert acts == [
        ("heimdall_policy.promote", False, "token:tester"),
        ("heimdall_policy.promote", False, "token:tester"),
        ("heimdall_policy.promote", True, "token:tester"),
    ]

    made = service.post(f"{HEIMDALL}/recommend", json=RECOMMENDATION).json()
    assert (made["prod_eligible"], made["gate_reason"]) == (True, None)
    assert use(service, made["id"]).json()["recommendation"] == {"buyer": 17}
    assert use(service, early["id"]).json()["reason"] == "prod_use_disabled"
    unsure = service.post(f"{HEIMDALL}/recommend", json=RECOMMENDATION | {"confidence": 0.89}).json()
    assert unsure["gate_reason"] == "confidence_too_low"

    tightened = POLICY | {"prod_use_enabled": True, "min_sandbox_trials": 11, "version": 3}
    service.post(f"{HEIMDALL}/policies/upsert", json=tightened).raise_for_status()
    late = use(service, made["id"])
    assert (late.status_code, late.json()["reason"]) == (403, "too_few_trials")
    snapshot = service.get(f"{HEIMDALL}/snapshot").json()
    assert [each["id"] for each in snapshot["recommendations"]] == [unsure["id"], made["id"], early["id"]]
    assert next(p for p in snapshot["policies"] if p["domain"] == "BUYER_MATCH")["version"] == 4


def test_a_recommendation_nobody_made_is_404(service: httpx.Client) -> None:
    answer = use(service, "1")
    assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_recommendation")


@pytest.mark.parametrize("confidence", ["NaN", "-0.1", "1.1", "Infinity", '"0.5"', "true", "null"])
def test_a_confidence_that_is_none_is_refused_by_its_field(service: httpx.Client, confidence: str) -> None:
    for path, rest in (
        ("recommend", '"recommendation": {"buyer": 17}'),
        ("sandbox/trial", '"success": true'),
    ):
        content = f'{{"domain": "BUYER_MATCH", "confidence": {confidence}, {rest}}}'
        answer = service.post(f"{HEIMDALL}/{path}", content=content, headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] in ("confidence", "body")
    assert scorecard(service)["trials"] == 0
    assert service.get(f"{HEIMDALL}/snapshot").json()["recommendations"] == []


def test_a_policy_is_changed_on_its_version(service: httpx.Client, store: str) -> None:
    assert service.post(f"{HEIMDALL}/policies/upsert", json=POLICY).status_code == 428
    assert service.post(f"{HEIMDALL}/policies/upsert", json=POLICY | {"version": 1}).status_code == 412
    days = POLICY | {"version": 2, "scorecard_days": 7}
    assert service.post(f"{HEIMDALL}/policies/upsert", json=days).json()["scorecard_days"] == 7
    kept = service.post(f"{HEIMDALL}/policies/upsert", json=POLICY | {"version": 3}).json()
    assert (kept["scorecard_days"], kept["changed_by"]) == (7, "token:tester")
    assert audited(store)[-1]["action"] == "heimdall_policy.upsert"
    new = POLICY | {"domain": "NEW", "version": 0}
    assert service.post(f"{HEIMDALL}/policies/upsert", json=new).json()["version"] == 1
