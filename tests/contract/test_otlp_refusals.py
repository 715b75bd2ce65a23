"""OTLP in: what is refused, with which status, in the encoding it came in; and what odd forms are taken."""

import contextlib
import gzip
import json
import re
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from golive.api.otlp.bodies import JSON, PROTOBUF
from tests.support.otlp import (
    ENCODERS,
    LOGS,
    TRACE_ID,
    as_json,
    encoded,
    events,
    partial_success,
    post,
    record,
    request,
    send,
    status_of,
)
from tests.support.service import serving, token

DOCUMENT = Path(__file__).parents[2] / "docs" / "otlp.md"
ENCODINGS = [JSON, PROTOBUF]


@pytest.fixture(scope="module")
def lite_url(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> str:
    file = tmp_path_factory.mktemp("lite") / "golive.db"
    shutil.copy(sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def lite(lite_url: str) -> Iterator[httpx.Client]:
    """One service for all of these, which each have metrics of their own."""
    with serving(lite_url, max_body_bytes=100_000, max_batch_events=100) as client:
        client.headers.update(token(lite_url, "read", "ingest"))
        yield client


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_value_that_is_no_finite_number_is_refused(lite: httpx.Client, value: str) -> None:
    sent = record(metric="infinite", more={"golive.value": float(value)})
    assert "golive.value: expected a finite number" in send(lite, PROTOBUF, [sent])[1]
    assert "golive.value: expected a finite number" in send(lite, JSON, [sent])[1]
    assert events(lite, metric="infinite") == []


def test_what_the_conventions_of_json_allow_is_taken(lite: httpx.Client) -> None:
    body = {
        "unknown": 1,
        "resourceLogs": [
            {"resource": None, "scopeLogs": None},
            {
                "schemaUrl": "x",
                "scopeLogs": [
                    {
                        "logRecords": [
                            record(
                                metric="numbers", timeUnixNano=time.time_ns(), traceId=TRACE_ID.upper(),
                                severityNumber=9, droppedAttributesCount=0, body={"stringValue": "late"},
                            ),
                            record(metric="nulls", spanId=None, flags=None, body=None) | {"traceId": ""},
                        ]
                    }
                ],
            },
        ],
    }  # fmt: skip
    answer = post(lite, f"{JSON}; charset=utf-8", json.dumps(body))
    assert (answer.status_code, answer.json()) == (200, {})
    found = {event["metric"]: event for event in events(lite)}
    assert (found["numbers"]["trace_id"], found["numbers"]["detail"]) == (TRACE_ID, "late")
    assert (found["nulls"]["trace_id"], found["nulls"]["span_id"]) == (None, None)


def test_the_example_of_the_documentation_is_one_event(lite: httpx.Client) -> None:
    [example] = re.findall(r"```json\n(.+?)```", DOCUMENT.read_text(), re.DOTALL)
    assert post(lite, JSON, example).json() == {}
    assert len(events(lite, until="2026-01-01T00:00:01Z", domain="WHOLESALE", metric="offer_sent")) == 1


def test_the_older_form_of_an_event_is_taken_as_well(lite: httpx.Client) -> None:
    old = record(eventName="", more={"event.name": "kpi.event"})
    assert (
        send(lite, PROTOBUF, [old, record(metric="valued", outcome=None, more={"golive.value": 3})])[0] == 0
    )
    assert {event["outcome"] for event in events(lite)} == {"success", "value"}


def test_an_empty_request_is_answered_with_200(lite: httpx.Client) -> None:
    assert post(lite, PROTOBUF, b"").content == b""
    assert post(lite, PROTOBUF, gzip.compress(b""), **{"Content-Encoding": "gzip"}).status_code == 200
    assert post(lite, JSON, b"{}").json() == {}
    assert post(lite, JSON, b'{"resourceLogs":[]}').status_code == 200


GOOD = {media_type: encoded(media_type, [record(metric="refused")]) for media_type in ENCODINGS}
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize("media_type", ENCODINGS)
@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        (lambda body: body[:-3], {}, 400),
        (lambda body: b"\xff" + body, {}, 400),
        (lambda body: gzip.compress(body)[:-4], GZIP, 400),
        (lambda body: gzip.compress(body)[:20], GZIP, 400),
        (lambda body: gzip.compress(body) + b"rest", GZIP, 400),
        (lambda body: gzip.compress(b"") * 101 + gzip.compress(body), GZIP, 400),
        (lambda body: zlib.compress(body), GZIP, 400),
        (lambda body: body, GZIP, 400),
        (lambda body: zlib.compress(body), {"Content-Encoding": "deflate"}, 415),
        (lambda body: body, {"Content-Encoding": "zstd"}, 415),
        (lambda body: gzip.compress(gzip.compress(body)), {"Content-Encoding": "gzip, gzip"}, 415),
        (lambda body: body + b" " * 100_000, {}, 413),
        (lambda body: gzip.compress(b" " * 50_000_000), GZIP, 413),
        (lambda body: body, {"Authorization": ""}, 401),
        (lambda body: body, {"Authorization": "Bearer golive_wrong"}, 401),
    ],
    ids=[
        "truncated", "damaged", "gzip without its end", "gzip cut", "rest after gzip",
        "gzip in many members", "zlib as gzip", "plain as gzip",
        "deflate", "zstd", "twice", "too large", "bomb", "no token", "wrong token",
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_with_its_status_in_the_encoding_it_came_in(
    lite: httpx.Client, media_type: str, change: Any, headers: dict[str, str], status: int
) -> None:
    answer = post(lite, media_type, change(GOOD[media_type]), **headers)
    assert answer.status_code == status, answer.content
    assert answer.headers["content-type"] == media_type
    code, message = status_of(answer)
    assert code == {400: 3, 401: 16, 413: 3, 415: 3}[status]
    assert len(message) > 10
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert events(lite, metric="refused") == []


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/protobuf", "application/grpc"])
def test_what_is_no_otlp_is_a_415(lite: httpx.Client, media_type: str) -> None:
    answer = post(lite, media_type, GOOD[PROTOBUF])
    assert (answer.status_code, answer.headers["content-type"]) == (415, JSON)
    assert status_of(answer)[0] == 3


def test_it_takes_the_scope_ingest(lite: httpx.Client, lite_url: str) -> None:
    answer = lite.post(
        LOGS,
        content=GOOD[PROTOBUF],
        headers={"Content-Type": PROTOBUF} | token(lite_url, "read", "operate", name="reader"),
    )
    assert (answer.status_code, status_of(answer)[0]) == (403, 7)


def test_too_many_records_are_refused_before_they_take_room(lite: httpx.Client) -> None:
    nothing = b"\x12\x00" * 49_000
    scope = b"\x12" + _length(nothing) + nothing
    body = b"\x0a" + _length(scope) + scope
    for content in (body, b"\x0a\x00" * 49_000):
        assert post(lite, PROTOBUF, content).status_code == 413
    # As a Collector has them that is sent one at a time: the bound is of records, not of what is around them.
    each_by_itself: dict[str, Any] = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}] * 1000}
    for media_type, encode in ENCODERS.items():
        answer = post(lite, media_type, encode(each_by_itself))
        assert partial_success(media_type, answer.content)[0] == 1000
    assert post(lite, JSON, as_json(request([{}] * 1001))).status_code == 413
    assert post(lite, JSON, b'{"resourceLogs":[' + b",".join([b"{}"] * 1001) + b"]}").status_code == 413
    assert partial_success(JSON, post(lite, JSON, as_json(request([{}] * 1000))).content)[0] == 1000


def _length(content: bytes) -> bytes:
    size, out = len(content), b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size])


def test_a_body_in_chunks_is_taken_and_bounded(lite: httpx.Client) -> None:
    content = gzip.compress(encoded(PROTOBUF, [record(metric="chunks")]))

    def chunks(size: int, times: int = 1) -> Iterator[bytes]:
        for start in range(0, len(content) * times, size):
            yield (content * times)[start : start + size]

    assert post(lite, PROTOBUF, chunks(7), **GZIP).status_code == 200
    # It may be cut off while it is sent.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        assert post(lite, PROTOBUF, chunks(10_000, 1000), **GZIP).status_code == 413
    assert len(events(lite, metric="chunks")) == 1


def test_a_sender_that_hangs_up_leaves_nothing(lite: httpx.Client) -> None:
    head = f"POST {LOGS} HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 1000\r\n"
    with socket.create_connection((lite.base_url.host, lite.base_url.port or 80)) as connection:
        connection.sendall(f"{head}Authorization: {lite.headers['Authorization']}\r\n\r\n".encode())
        connection.sendall(GOOD[PROTOBUF][:50])
    assert events(lite, metric="refused") == []
    assert send(lite, PROTOBUF, [record(metric="sound")]) == (0, "")


def test_too_many_requests_say_when_to_try_again(sqlite_store: str) -> None:
    with serving(sqlite_store, requests_per_minute=1) as client:
        client.headers.update(token(sqlite_store, "ingest"))
        assert post(client, PROTOBUF, GOOD[PROTOBUF]).status_code == 200
        answer = post(client, PROTOBUF, GOOD[PROTOBUF])
    assert (answer.status_code, status_of(answer)[0]) == (429, 8)
    assert 1 <= int(answer.headers["retry-after"]) <= 61
