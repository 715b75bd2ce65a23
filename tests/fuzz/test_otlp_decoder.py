"""The decoders of OTLP on any bytes: never a crash, every record an event or a refused one, none besides."""

import contextlib
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.api.limits import Limits
from golive.api.otlp import bodies, events, json_body, protobuf_body
from golive.api.otlp.bodies import JSON, PROTOBUF
from golive.api.otlp.records import TooMany, Undecodable
from golive.api.problems import Problem
from golive.events import check_event, from_json, to_json
from golive.settings import ServiceSettings
from tests.support.fuzzing import fuzzed
from tests.support.otlp import encoded, pairs, record

READ = {JSON: json_body.read, PROTOBUF: protobuf_body.read}
MOST = 100
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUE = st.recursive(
    st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats() | TEXT | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
NAMES = [
    "domain",
    "metric",
    "outcome",
    "value",
    "actor",
    "correlation_id",
    "detail",
    "event_id",
    "emitter",
    "duration_ms",
]
ATTRIBUTES = st.dictionaries(st.sampled_from([f"golive.{name}" for name in NAMES]) | TEXT, VALUE, max_size=8)
RECORD = st.builds(
    lambda given, at_ns: (
        record(at_ns=at_ns) if given is None else record(at_ns=at_ns) | {"attributes": pairs(given)}
    ),
    st.none() | ATTRIBUTES,
    st.integers(0, 1 << 63),
)


@pytest.fixture(scope="module", autouse=True)
def _pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is secret in a detail is a setting of the pipeline, and so one has to run."""
    from golive import pipeline

    folder = tmp_path_factory.mktemp("otlp")
    pipeline.configure(f"sqlite:///{folder}/golive.db", spool_dir=folder / "spool")
    yield
    pipeline.shutdown()


def check(found: list[Any]) -> None:
    made = events.sort(found)
    assert len(made.events) + len(made.refused) == len(found)
    for event in made.events:
        check_event(event)
        assert from_json(to_json(event)) == event
    again = events.sort(found)
    assert again.events == made.events, "what is sent again has other ids"


@fuzzed
@given(st.lists(RECORD, max_size=6))
def test_both_encodings_make_the_same_events_of_each_record(records: list[dict[str, Any]]) -> None:
    made = {}
    for media_type, read in READ.items():
        found = read(encoded(media_type, records), MOST)
        assert len(found) == len(records)
        check(found)
        made[media_type] = [
            (event.domain, event.metric, event.success, event.created_ns, event.correlation_id)
            for event in events.sort(found).events
        ]
    assert made[JSON] == made[PROTOBUF]


@fuzzed
@given(st.lists(RECORD, min_size=1, max_size=3), st.data())
@pytest.mark.parametrize("media_type", [JSON, PROTOBUF])
def test_a_body_that_was_damaged_is_read_or_refused(
    media_type: str, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = bytearray(encoded(media_type, records))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not body:
            break
    try:
        check(READ[media_type](bytes(body), MOST))
    except (Undecodable, TooMany):
        return


@fuzzed
@given(st.binary(max_size=200))
@pytest.mark.parametrize("media_type", [JSON, PROTOBUF])
def test_any_bytes_are_read_or_refused(media_type: str, body: bytes) -> None:
    for content in (
        body,
        json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": list(body)}]}]}).encode(),
    ):
        try:
            check(READ[media_type](content, MOST))
        except (Undecodable, TooMany):
            continue


@fuzzed
@given(st.lists(st.binary(max_size=50), max_size=5), st.binary(max_size=20), st.integers(0, 30))
def test_what_was_packed_is_unpacked_whole_or_refused(members: list[bytes], rest: bytes, cut: int) -> None:
    limits = Limits(ServiceSettings(max_body_bytes=100))
    packed = b"".join(map(gzip.compress, members))
    whole = b"".join(members)
    if len(whole) <= 100:
        assert bodies.inflated(packed, limits) == whole
    for damaged in (packed + rest, packed[: max(len(packed) - cut, 0)]):
        with contextlib.suppress(Problem):
            assert len(bodies.inflated(damaged, limits)) <= 100
