"""OTLP in, given whatever bytes there are: an answer of the specification's, never a failure of golive's own."""

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golive.api.otlp.bodies import JSON, PROTOBUF
from tests.support.otlp import any_value, encoded, partial_success, post, record, request, send, status_of
from tests.support.service import serving, token

hostile = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FULL = record(
    body={"stringValue": "x"},
    more={"golive.detail": {"a": [1, 2.5, b"x", {"b": None}]}, "golive.event_id": 5, "golive.value": 1.5},
)
VALID = {media_type: encoded(media_type, [FULL, record()]) for media_type in (JSON, PROTOBUF)}

KEYS = [
    "resourceLogs", "resource", "scopeLogs", "scope", "logRecords", "attributes", "key", "value", "values", "body",
    "stringValue", "intValue", "doubleValue", "boolValue", "bytesValue", "arrayValue", "kvlistValue", "timeUnixNano",
    "observedTimeUnixNano", "traceId", "spanId", "flags", "eventName",
]  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=20),
    st.sampled_from(["kpi.event", "golive.domain", "golive.detail", "golive.event_id", "\ud800", "\x00", "1e400"]),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=40,
)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[httpx.Client]:
    file = tmp_path_factory.mktemp("hostile") / "golive.db"
    shutil.copy(sqlite_template, file)
    with serving(f"sqlite:///{file}", requests_per_minute=1_000_000) as client:
        client.headers.update(token(f"sqlite:///{file}", "read", "ingest"))
        yield client


def check(answer: httpx.Response, media_type: str) -> None:
    assert answer.status_code in (200, 400, 413), answer.content
    assert answer.headers["content-type"] == media_type
    if answer.status_code == 200:
        partial_success(media_type, answer.content)
    else:
        assert status_of(answer)[0] == 3


@hostile
@given(
    media_type=st.sampled_from([JSON, PROTOBUF]), content=st.binary(max_size=300), compressed=st.booleans()
)
def test_any_bytes(lite: httpx.Client, media_type: str, content: bytes, compressed: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    check(post(lite, media_type, content, **headers), media_type)


@hostile
@given(
    media_type=st.sampled_from([JSON, PROTOBUF]),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
    compressed=st.booleans(),
)
def test_a_valid_body_that_was_damaged(
    lite: httpx.Client, media_type: str, changes: list[tuple[int, bytes, int]], compressed: bool
) -> None:
    content = gzip.compress(VALID[media_type]) if compressed else VALID[media_type]
    for place, inserted, removed in changes:
        at = place % (len(content) + 1)
        content = content[:at] + inserted + content[at + removed :]
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    check(post(lite, media_type, content, **headers), media_type)


@hostile
@given(inner=ANYTHING, name=st.sampled_from([*KEYS, "", "all"]))
def test_a_part_that_is_anything(lite: httpx.Client, inner: Any, name: str) -> None:
    sent: Any = request([dict(FULL), record()])
    resource = sent["resourceLogs"][0]
    scope = resource["scopeLogs"][0]
    for part in (sent, resource, scope, scope["logRecords"][0], scope["logRecords"][0]["attributes"][0]):
        if name in part:
            part[name] = inner
    if name == "all":
        sent = inner
    check(post(lite, JSON, json.dumps(sent)), JSON)


@hostile
@given(
    value=ANYTHING,
    name=st.sampled_from(["domain", "metric", "outcome", "value", "actor", "detail", "event_id"]),
)
def test_an_attribute_that_is_any_value(lite: httpx.Client, value: Any, name: str) -> None:
    sent = record()
    shown = value if isinstance(value, dict) and name == "detail" else any_value(value)
    sent["attributes"].append({"key": f"golive.{name}", "value": shown})
    check(post(lite, JSON, json.dumps(request([sent]))), JSON)


def test_what_is_nested_deep_or_wide_is_refused_or_cut(lite: httpx.Client) -> None:
    deep = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 300
    assert post(lite, JSON, deep + b"{}" + b"]}}" * 300 + b"}]}]}]}").status_code == 200
    assert post(lite, JSON, deep + b"{}" * 30_000).status_code == 400
    assert post(lite, JSON, b"[" * 100_000).status_code == 400
    assert post(lite, JSON, b'{"resourceLogs":' + b"9" * 5000 + b"}").status_code == 400
    raw = {"resourceLogs": [{"scopeLogs": [{"logRecords": [_nested(900)]}]}]}
    assert partial_success(JSON, post(lite, JSON, json.dumps(raw)).content)[0] == 1
    wide = record(metric="wide", more={"golive.detail": list(range(11_000))})
    assert "at most 10000 values" in send(lite, PROTOBUF, [wide])[1]
    cut = record(metric="cut", more={"golive.detail": "[" * 100_000, "golive.actor": ""})
    assert send(lite, PROTOBUF, [cut])[0] == 0


def _nested(levels: int) -> Any:
    made: Any = {}
    for _ in range(levels):
        made = [made]
    return made


def test_a_thousand_bad_records_are_named_in_a_bounded_text(lite: httpx.Client) -> None:
    bad = [record(domain="\n" * (number % 30 + 1)) for number in range(1000)]
    good = [record(metric="among_them") for _ in range(1000)]
    mixed = [each for pair in zip(bad, good, strict=True) for each in pair]
    for media_type in (JSON, PROTOBUF):
        rejected, message = send(lite, media_type, mixed)
        assert rejected == 1000
        assert len(message) < 5000
        assert message.startswith("log records 0, 2, 4, ")
