"""Events over HTTP: recorded one by one or in batches, and read again, filtered and page by page."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from golive import pipeline
from tests.support.service import JSON, serving, token
from tests.support.stores import one_store

KPI = "/api/governance/regression/kpi"


def test_an_event_sent_is_a_row_and_comes_back_by_every_way(service: httpx.Client) -> None:
    sent = {
        "domain": "WHOLESALE",
        "metric": "offer_sent",
        "success": True,
        "value": 12.5,
        "actor": "broker",
        "correlation_id": "deal_123",
        "detail": {"offer": 7, "password": "geheim"},
        "occurred_at": "2026-11-01T12:00:00+01:00",
    }
    answer = service.post(KPI, json=sent, headers={"X-Correlation-ID": "of-the-request"})
    assert answer.status_code == 201
    assert pipeline.flush(20)
    [event] = service.get("/api/kpi/events").json()["events"]
    assert [event["id"]] == answer.json()["event_ids"]
    expected = sent | {
        "outcome": "success",
        "detail": {"offer": 7, "password": "[redacted]"},
        "created_at": "2026-11-01T11:00:00Z",
    }
    assert {name: event[name] for name in event.keys() & expected.keys()} == {
        name: expected[name] for name in event.keys() & expected.keys()
    }
    timeline = service.get("/api/kpi/correlations/deal_123").json()
    assert [entry["id"] for entry in timeline["events"]] == [event["id"]]
    [metric] = service.get("/api/kpi/summary").json()["metrics"]
    assert (metric["events"], metric["successes"], metric["value_sum"]) == (1, 1, 12.5)
    assert service.get("/api/kpi/correlations/none").json()["events"] == []


@one_store
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "x" * 33}, "domain"),
        ({"domain": "a\u0000"}, "domain"),
        ({"metric": 5}, "metric"),
        ({"success": "yes"}, "success"),
        ({"value": "NaN"}, "value"),
        ({"value": 1e999}, "value"),
        ({"unknown": 1}, "unknown"),
        ({"occurred_at": "2026-11-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": "2090-01-01T00:00:00Z"}, "occurred_at"),
        ({"correlation_id": "x" * 129}, "correlation_id"),
    ],
)
def test_a_wrong_event_names_its_field_and_none_of_its_batch_is_recorded(
    service: httpx.Client, change: dict[str, Any], field: str
) -> None:
    good = {"domain": "WHOLESALE", "metric": "offer_sent", "success": True}
    for body in (good | change, {"events": [good, good | change, good]}):
        answer = service.post(KPI, content=json.dumps(body).replace("Infinity", "1e999"), headers=JSON)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"].endswith(field)
        if "events" in body:
            assert "events.1." in answer.json()["errors"][0]["field"].replace("[1]", ".1")
    assert pipeline.flush(20)
    assert service.get("/api/kpi/events").json()["events"] == []


def test_a_batch_that_finds_the_spool_full_is_503_and_none_of_it_is_recorded(
    production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("GOLIVE_SPOOL_MAX_BYTES", "4096")
    event = {"domain": "WHOLESALE", "metric": "offer_sent", "success": True}
    with serving(production) as client:
        client.headers.update(token(production, "ingest", "read"))
        answer = client.post(KPI, json={"events": [event] * 100})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert client.post(KPI, json={"events": [event] * 3}).status_code == 201
        assert pipeline.flush(20)
        assert len(client.get("/api/kpi/events").json()["events"]) == 3


def test_pages_go_through_everything_once_whatever_is_added_meanwhile(service: httpx.Client) -> None:
    def batch(count: int, metric: str) -> None:
        events = [{"domain": "W", "metric": metric, "value": number} for number in range(count)]
        service.post(KPI, json={"events": events}).raise_for_status()
        assert pipeline.flush(20)

    batch(25, "old")
    seen: list[str] = []
    parameters = {"limit": "10"}
    while True:
        page = service.get("/api/kpi/events", params=parameters).json()
        seen += [event["id"] for event in page["events"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
        batch(1, "new")
    assert len(seen) == len(set(seen)) == 25
    for cursor in ("x", "A" * 24, "", "ÄÖ"):
        assert service.get("/api/kpi/events", params={"cursor": cursor}).status_code in (200, 422)
    assert len(service.get("/api/kpi/events", params={"metric": "old", "limit": 1000}).json()["events"]) == 25
    assert service.get("/api/kpi/events", params={"limit": 1001}).status_code == 422


def test_filters_narrow_and_combine(service: httpx.Client) -> None:
    events = [
        {"domain": "A", "metric": "m", "success": True, "actor": "x", "correlation_id": "c1"},
        {"domain": "A", "metric": "n", "success": False, "actor": "y", "correlation_id": "c1"},
        {"domain": "B", "metric": "m", "success": True, "occurred_at": "2026-01-01T00:00:00Z"},
    ]
    service.post(KPI, json={"events": events}).raise_for_status()
    assert pipeline.flush(20)

    def found(**parameters: Any) -> int:
        return len(service.get("/api/kpi/events", params=parameters).json()["events"])

    assert found() == 3
    assert found(domain="A") == 2
    assert found(domain="A", success="false") == 1
    assert found(actor="x", correlation_id="c1") == 1
    assert found(until="2026-02-01T00:00:00Z") == 1
    assert found(since="2026-02-01T00:00:00+00:00", metric="m") == 1
    assert service.get("/api/kpi/events", params={"since": "2026-02-01"}).status_code == 422


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "a\0b") for name in ("domain", "metric", "actor", "correlation_id")),
        ("since", "9999-12-31T23:59:59-23:00"),
        ("until", "0001-01-01T00:00:00+23:00"),
    ],
)
def test_what_no_store_can_look_for_is_the_clients_error_not_the_stores(
    service: httpx.Client, name: str, value: str
) -> None:
    asked = [service.get("/api/kpi/events", params={name: value})]
    if name in ("domain", "since", "until"):
        asked.append(service.get("/api/kpi/summary", params={name: value}))
    if name == "correlation_id":
        asked.append(service.get("/api/kpi/correlations/a%00b"))
    for answer in asked:
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, name)


@pytest.mark.parametrize("detail", [5, 2**53 + 1, True, 0.5, "5", None, [1], {"n": 2**60}])
def test_a_detail_comes_back_as_it_was_sent(service: httpx.Client, detail: Any) -> None:
    service.post(KPI, json={"domain": "A", "metric": "m", "detail": detail, "value": 1}).raise_for_status()
    assert pipeline.flush(20)
    [event] = service.get("/api/kpi/events").json()["events"]
    assert (event["detail"], type(event["detail"])) == (detail, type(detail))
