"""OTLP in: any OpenTelemetry SDK's log records become rows, each once."""

import gzip
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

from golive import database, pipeline
from golive.api.otlp.bodies import JSON, PROTOBUF
from golive.kpi import emit_kpi, kpi_timed_step
from golive.otel_logs import SdkLoggerProvider, SimpleLogRecordProcessor
from tests.contract.conftest import Golive
from tests.support.otlp import (
    SPAN_ID,
    TRACE_ID,
    counted,
    encoded,
    events,
    partial_success,
    post,
    record,
    send,
    status_of,
)
from tests.support.service import serving, token
from tests.support.wires import WHOLESALE, at_rate, enable

ENCODINGS = [JSON, PROTOBUF]


@pytest.fixture
def service(store: str, account: Any) -> Iterator[httpx.Client]:
    with serving(store) as client:
        client.headers.update(token(store, "read", "ingest"))
        yield client


@pytest.fixture
def on_sqlite(sqlite_store: str, account: Any) -> Iterator[httpx.Client]:
    """The same for what a database has no part in."""
    with serving(sqlite_store) as client:
        client.headers.update(token(sqlite_store, "read", "ingest"))
        yield client


@pytest.mark.parametrize(("media_type", "compressed"), [(JSON, False), (PROTOBUF, True)])
def test_an_event_becomes_a_row_with_all_that_was_sent(
    service: httpx.Client, media_type: str, compressed: bool
) -> None:
    at = 1_760_000_000_123_456_789
    more = {
        "golive.value": 12.5,
        "golive.actor": "broker",
        "golive.correlation_id": "deals/123",
        "golive.duration_ms": 250,
        "golive.detail": {"reason": "täglich", "password": "hunter2", "lines": [1, 2.5, True, None, b"x"]},
        "unknown": "passed over",
    }
    body = encoded(media_type, [record(at_ns=at, more=more)])
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    answer = post(service, media_type, gzip.compress(body) if compressed else body, **headers)
    assert (answer.status_code, partial_success(media_type, answer.content)) == (200, (0, ""))
    [event] = events(service)
    assert event.pop("id").isdigit()
    assert event == {
        "created_at": "2025-10-09T08:53:20.123456Z",
        "domain": "WHOLESALE",
        "metric": "offer_sent",
        "outcome": "success",
        "value": 12.5,
        "actor": "broker",
        "correlation_id": "deals/123",
        "duration_ms": 250.0,
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "detail": {"reason": "täglich", "password": "[redacted]", "lines": [1, 2.5, True, None, "x"]},
    }
    assert counted(service) == 1
    [entry] = service.get("/api/kpi/correlations/deals%2F123").json()["events"]
    assert entry["trace_id"] == TRACE_ID


@pytest.mark.parametrize("media_type", ENCODINGS)
def test_the_same_request_sent_again_doubles_neither_rows_nor_counts(
    service: httpx.Client, media_type: str
) -> None:
    now = time.time_ns()
    own_id = {"golive.event_id": str((1 << 63) - 5)}
    body = encoded(
        media_type,
        [
            record(metric="derived", at_ns=now),
            record(metric="own", more=own_id),
            record(metric="derived", at_ns=now),
        ],
    )
    for _ in range(2):
        assert post(service, media_type, body).status_code == 200
    assert pipeline.flush(20)
    for _ in range(2):  # delivered by now, and asked of the store by a process that has not seen it
        pipeline.shutdown()
        assert post(service, media_type, body).status_code == 200
    # Two that are alike to the nanosecond happened twice: many clocks tell milliseconds only.
    assert sorted(event["metric"] for event in events(service)) == ["derived", "derived", "own"]
    assert {event["id"] for event in events(service, metric="own")} == {str((1 << 63) - 5)}
    assert counted(service) == 3


def test_the_same_request_sent_by_many_at_once_is_recorded_once(on_sqlite: httpx.Client) -> None:
    body = encoded(
        PROTOBUF, [record(at_ns=at) for at in range(1_760_000_000_000_000_000, 1_760_000_000_000_000_100)]
    )
    with ThreadPoolExecutor(10) as senders:
        answers = list(senders.map(lambda _: post(on_sqlite, PROTOBUF, body).status_code, range(10)))
    assert answers == [200] * 10
    assert len(events(on_sqlite)) == 100
    assert counted(on_sqlite) == 100


def test_an_id_twice_in_one_request_is_one_event_if_all_of_it_is_the_same(service: httpx.Client) -> None:
    at = time.time_ns()
    same = record(metric="same", at_ns=at, more={"golive.event_id": 7})
    other = record(metric="other", at_ns=at, more={"golive.event_id": 7})
    uid = record(metric="uid", at_ns=at, more={"log.record.uid": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
    for _ in range(2):
        assert send(service, PROTOBUF, [same, other, same, uid, uid])[0] == 0
    assert sorted(event["metric"] for event in events(service)) == ["other", "same", "uid"]
    assert counted(service) == 3


@pytest.mark.parametrize("media_type", ENCODINGS)
def test_a_partial_batch_keeps_its_good_part_and_names_every_bad_record(
    on_sqlite: httpx.Client, media_type: str
) -> None:
    now = time.time_ns()
    bad = [
        (record(domain=None), "golive.domain: expected 1 to 32 characters"),
        (record(domain="x" * 33), "golive.domain: expected at most 32 characters, got 33"),
        (record(metric=5), "golive.metric: expected a string"),
        (record(outcome="won"), "golive.outcome: expected one of success, failure, value, cancelled"),
        (record(outcome=None), "golive.outcome: expected one of"),
        (record(outcome="value"), "golive.value: expected a number with the outcome value"),
        (record(outcome="cancelled", more={"golive.value": 1}), "golive.value: expected none with"),
        (record(more={"golive.value": "NaN"}), "golive.value: expected an int, a float"),
        (record(more={"golive.value": True}), "golive.value: expected an int, a float"),
        (record(more={"golive.actor": 5}), "golive.actor: expected a string"),
        (record(more={"golive.correlation_id": "x" * 129}), "golive.correlation_id: expected at most 128"),
        (record(more={"golive.duration_ms": -1}), "golive.duration_ms: expected a number not below 0"),
        (record(more={"golive.event_id": -1}), "golive.event_id: expected an integer of 63 bits"),
        (record(more={"golive.event_id": "deal"}), "golive.event_id: expected an integer of 63 bits"),
        (record(at_ns=0), "time_unix_nano: expected a time, got none"),
        (record(at_ns=now + 7_200 * 10**9), "time_unix_nano: expected a time since 1970, at most an hour"),
        (record(at_ns=(1 << 64) - 1), "time_unix_nano: expected a time since 1970"),
        (record(traceId="abcd"), "trace_id: expected 16 bytes, got 2"),
        (record(spanId="ab"), "span_id: expected 8 bytes, got 1"),
        (record(eventName="click"), "event_name: expected kpi.event, got str 'click'"),
        (record(eventName=""), "log records 20-21: event_name: expected kpi.event"),
        (record(more={f"a{n}": n for n in range(130)}), "attributes: expected at most 128"),
        (record(more={"deep": _deep(70)}) if media_type == JSON else record(domain=""), ": expected"),
    ]  # fmt: skip
    good = record(metric="good", at_ns=0, observedTimeUnixNano=str(now))
    rejected, message = send(on_sqlite, media_type, [good, *(each for each, _ in bad), record(metric="good")])
    assert rejected == len(bad)
    for index, (_, said) in enumerate(bad, 1):
        assert said in message, said
        assert str(index) in message
    assert [event["metric"] for event in events(on_sqlite)] == ["good", "good"]
    assert counted(on_sqlite) == 2


def _deep(levels: int) -> Any:
    made: Any = "bottom"
    for _ in range(levels):
        made = [made]
    return made


def test_events_that_came_by_otlp_trip_a_tripwire_and_are_its_evidence(
    sqlite_store: str, on_sqlite: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_store)
    enable(sqlite_store, WHOLESALE)
    outcomes = at_rate(0.95, 200) + at_rate(0.74, 50)
    first = time.time_ns() - len(outcomes) * 1_000_000
    sent = [
        record(
            *WHOLESALE,
            "success" if ok else "failure",
            at_ns=first + number * 1_000_000,
            traceId=f"{number + 1:032x}",
        )
        for number, ok in enumerate(outcomes)
    ]
    assert send(on_sqlite, PROTOBUF, sent) == (0, "")
    assert pipeline.flush(20)
    on_sqlite.headers.update(token(sqlite_store, "operate", name="operator"))
    [found] = on_sqlite.post("/api/governance/regression/evaluate", json={}).json()["evaluations"]
    assert (found["tripped"], found["verdict"]) == (True, "triggered")
    failed = {f"{number + 1:032x}" for number, ok in enumerate(outcomes) if not ok}
    assert {event["trace_id"] for event in found["finding"]["failing"]} <= failed


def test_with_no_room_nothing_is_acknowledged_and_the_sender_may_try_again(
    sqlite_store: str, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_SPOOL_MAX_BYTES", "4096")
    with serving(sqlite_store) as client:
        client.headers.update(token(sqlite_store, "ingest", "read"))
        for media_type in ENCODINGS:
            answer = post(client, media_type, encoded(media_type, [record()] * 100))
            assert (answer.status_code, status_of(answer)[0]) == (503, 14)
            assert int(answer.headers["retry-after"]) > 0
        assert events(client) == []
        assert send(client, PROTOBUF, [record()] * 3) == (0, "")
        assert len(events(client)) == 3


def test_what_a_golive_application_exports_by_itself_is_known_already(
    golive: Golive, service_of_golive: httpx.Client
) -> None:
    headers = {"Authorization": service_of_golive.headers["Authorization"]}
    exporter = OTLPLogExporter(endpoint=f"{service_of_golive.base_url}/v1/logs", headers=headers)
    provider = SdkLoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    pipeline.configure(golive.url, logger_provider=provider, spool_dir=golive.spool_dir)
    emit_kpi(None, "W", "plain", True)
    emit_kpi(
        None,
        "W",
        "valued",
        value=1e23,
        actor="a",
        correlation_id="deal_1",
        detail={"a": [1, "Bearer abcdefgh"]},
    )
    with kpi_timed_step(None, "W", "step"):
        pass
    assert pipeline.flush(20)
    assert golive.metrics() == ["plain", "step", "valued"]
    assert counted(service_of_golive) == 3


@pytest.fixture
def service_of_golive(golive: Golive) -> Iterator[httpx.Client]:
    """A service in another process's place: it has the store alone in common with the application."""
    url = golive.url.render_as_string(hide_password=False)
    database.upgrade(golive.url)
    with serving(url) as client:
        client.headers.update(token(url, "read", "ingest"))
        yield client
