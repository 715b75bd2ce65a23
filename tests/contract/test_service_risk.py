"""The risk guard over HTTP: reservations, denials with their figures, settlements, policies and their versions."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from golive import governance, risk
from tests.support.service import audited, serving, token

RISK = "/api/governance/risk"
POLICY = {
    "engine": "WHOLESALE",
    "enabled": True,
    "max_daily_loss": "200.00",
    "max_daily_exposure": "1000",
    "max_open_risk": "500.50",
    "max_actions_per_day": 500,
    "reason": "week 2",
}


@pytest.fixture
def service(store: str) -> Iterator[httpx.Client]:
    """A client that may operate."""
    with serving(store) as client:
        client.headers.update(token(store, "read", "operate"))
        yield client


def reserve(client: httpx.Client, amount: str | int, **more: Any) -> httpx.Response:
    body = {"engine": "WHOLESALE", "amount": amount} | more
    return client.post(f"{RISK}/check-and-reserve", json=body)


def ledger(client: httpx.Client, engine: str) -> dict[str, Any]:
    found = client.get(f"{RISK}/ledger/today").json()["ledgers"]
    return next(each for each in found if each["engine"] == engine)


def test_a_reservation_is_settled_released_and_refunded_to_the_cent(service: httpx.Client) -> None:
    made = reserve(service, "120.50", correlation_id="deal_1", reason="an offer").json()
    assert (made["amount"], made["status"], made["actor"]) == ("120.50", "open", "token:tester")
    own = ledger(service, "WHOLESALE")
    assert (own["open_risk_reserved"], own["room"]["max_open_risk"]) == ("120.50", "379.50")
    assert ledger(service, "GLOBAL")["room"]["max_daily_exposure"] == "1379.50"

    settle = {
        "engine": "WHOLESALE",
        "reserved_amount": "120.50",
        "realized_loss": "3.55",
        "reservation_id": made["id"],
    }
    for _ in range(2):  # the second is the first's repetition
        settled = service.post(f"{RISK}/settle", json=settle).json()
        assert (settled["status"], settled["realized_loss"]) == ("settled", "3.55")
    assert service.post(f"{RISK}/settle", json=settle | {"realized_loss": "4.00"}).status_code == 409
    assert ledger(service, "WHOLESALE")["realized_loss"] == "3.55"

    refund = {"reservation_id": made["id"], "amount": "1.50", "realized_loss": "3.55"}
    assert service.post(f"{RISK}/refund", json=refund).json()["realized_loss"] == "2.05"
    assert service.post(f"{RISK}/refund", json=refund).status_code == 409
    assert ledger(service, "WHOLESALE")["realized_loss"] == "2.05"

    other = reserve(service, 7).json()
    released = service.post(f"{RISK}/release", json={"reservation_id": other["id"]})
    assert released.json()["status"] == "released"
    assert service.post(f"{RISK}/release", json={"reservation_id": made["id"]}).status_code == 409
    assert ledger(service, "WHOLESALE")["actions_count"] == 1

    snapshot = service.get(f"{RISK}/snapshot").json()
    assert snapshot["open_reservations"] == []
    actions = [decision["action"] for decision in snapshot["decisions"]]
    assert actions == ["RELEASE", "RESERVE", "REFUND", "SETTLE", "RESERVE"]
    assert {decision["actor"] for decision in snapshot["decisions"]} == {"token:tester"}
    assert snapshot["decisions"][-1]["correlation_id"] == "deal_1"


def test_a_denial_is_403_with_the_figures_and_is_recorded(service: httpx.Client) -> None:
    reserve(service, "300").raise_for_status()
    answer = reserve(service, "200.01")
    problem = answer.json()
    assert (answer.status_code, problem["reason"]) == (403, "max_open_risk")
    assert problem["denial"] == {
        "engine": "WHOLESALE",
        "policy": "WHOLESALE",
        "limit": "500.00",
        "used": "300.00",
        "asked": "200.01",
        "room": "200.00",
    }
    assert "room left 200.00" in problem["detail"]
    [denied, _] = service.get(f"{RISK}/snapshot").json()["decisions"]
    assert (denied["action"], denied["ok"], denied["detail"]["room"]) == ("DENY", False, "200.00")
    assert ledger(service, "WHOLESALE")["denials"] == ledger(service, "GLOBAL")["denials"] == 1
    assert reserve(service, 1, engine="NOTIFY").json()["reason"] == "policy_disabled"
    assert reserve(service, 1, engine="NOBODY").json()["reason"] == "policy_missing"


def test_a_repeated_request_with_its_key_is_one_reservation_and_another_body_is_409(
    service: httpx.Client,
) -> None:
    # Each request has a correlation id of its own where the client gives none.
    first, again = (reserve(service, "10.00", idempotency_key="k") for _ in range(2))
    assert first.headers["x-correlation-id"] != again.headers["x-correlation-id"]
    assert first.json() == again.json()
    assert reserve(service, "10.01", idempotency_key="k").status_code == 409
    assert ledger(service, "WHOLESALE")["actions_count"] == 1


def test_what_is_not_reserved_is_404(service: httpx.Client) -> None:
    settle = {"engine": "WHOLESALE", "reserved_amount": "1", "realized_loss": "0"}
    assert service.post(f"{RISK}/settle", json=settle).status_code == 404
    for number in ("1", str(2**63 - 1)):
        assert service.post(f"{RISK}/release", json={"reservation_id": number}).status_code == 404
    assert service.post(f"{RISK}/release", json={"reservation_id": str(2**63)}).status_code == 422


@pytest.mark.parametrize("amount", [1.5, "1.005", "-1", "1e2", " 1", "", None, True, "NaN", "9" * 15, -1])
def test_an_amount_that_is_no_money_is_refused_by_its_field(service: httpx.Client, amount: Any) -> None:
    answer = reserve(service, amount)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "amount"
    assert service.get(f"{RISK}/snapshot").json()["decisions"] == []


def test_a_policy_is_changed_on_its_version_and_keeps_the_throttle_nobody_named(
    service: httpx.Client, store: str
) -> None:
    assert service.post(f"{RISK}/policies/upsert", json=POLICY).status_code == 428
    assert service.post(f"{RISK}/policies/upsert", json=POLICY | {"version": 7}).status_code == 412
    throttled = service.post(f"{RISK}/policies/upsert", json=POLICY | {"version": 1, "throttle": 0.5})
    assert throttled.status_code == 200, throttled.text
    assert (throttled.headers["etag"], throttled.json()["throttle"]) == ('"2"', 0.5)
    kept = service.post(f"{RISK}/policies/upsert", json=POLICY, headers={"If-Match": '"2"'}).json()
    assert (kept["throttle"], kept["max_open_risk"], kept["changed_by"]) == (0.5, "500.50", "token:tester")
    assert ledger(service, "WHOLESALE")["limits"]["max_open_risk"] == "250.25"
    [_, trail] = audited(store)[-2:]
    assert (trail["action"], trail["target"], trail["actor"]) == (
        "risk_policy.upsert",
        "WHOLESALE",
        "token:tester",
    )
    assert (trail["before"]["max_open_risk"], trail["after"]["max_open_risk"]) == ("500.50", "500.50")
    unnamed = {name: value for name, value in POLICY.items() if name != "max_daily_loss"}
    refused = service.post(f"{RISK}/policies/upsert", json=unnamed | {"version": 3})
    assert refused.json()["errors"][0]["field"] == "max_daily_loss"
    new = POLICY | {"engine": "NEW", "max_open_risk": None, "version": 0}
    made = service.post(f"{RISK}/policies/upsert", json=new).json()
    assert (made["version"], made["max_open_risk"], made["throttle"]) == (1, None, 1.0)
    assert service.post(f"{RISK}/policies/upsert", json=new).status_code == 412
    engines = [policy["engine"] for policy in service.get(f"{RISK}/policies").json()["policies"]]
    assert engines == ["GLOBAL", "CAPITAL", "NEW", "NOTIFY", "WHOLESALE"]


def test_clients_at_once_never_pass_a_cap(service: httpx.Client, store: str) -> None:
    statuses: list[int] = []

    def go() -> None:
        for _ in range(8):
            statuses.append(reserve(service, "50.00").status_code)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 10 + [403] * 22
    with governance.reading(store) as connection:
        assert len(risk.open_reservations(connection, 100)) == 10
    assert ledger(service, "WHOLESALE")["open_risk_reserved"] == str(Decimal("500.00"))
