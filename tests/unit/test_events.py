import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive import otel_logs
from golive.errors import InvalidEvent
from golive.events import KpiEvent, check_event, from_json, to_json
from golive.kpi import emit_kpi, kpi_fail, kpi_success, kpi_timed_step, kpi_value

printable = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)
ids = st.integers(0, (1 << 63) - 1)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
events = st.builds(
    KpiEvent,
    id=ids,
    emitter=ids,
    domain=printable.map(lambda text: text[:32]),
    metric=printable.map(lambda text: text[:64]),
    success=st.none() | st.booleans(),
    value=numbers,
    actor=st.none() | printable.map(lambda text: text[:64]),
    correlation_id=st.none() | printable.map(lambda text: text[:128]),
    detail=st.none() | st.just('{"a":[1,2.5,null]}'),
    trace_id=st.none() | st.integers(1, (1 << 128) - 1).map(lambda number: f"{number:032x}"),
    span_id=st.none() | st.integers(1, (1 << 64) - 1).map(lambda number: f"{number:016x}"),
    sampled=st.booleans(),
    duration_ms=numbers,
    created_ns=st.integers(1, 1 << 62),
)


@given(events)
def test_an_event_survives_the_spool(event: KpiEvent) -> None:
    assert from_json(to_json(event)) == event


@given(events)
def test_an_event_survives_its_log_record(event: KpiEvent) -> None:
    back = otel_logs.from_record(otel_logs.readable(otel_logs.to_record(event)))
    # A success with a value keeps both; a record says value or success by its outcome.
    assert back == event
    check_event(event)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"null", b"[1,2]", b"\xff", b'"x"'])
def test_anything_else_in_the_spool_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        from_json(line)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("domain", {"domain": ""}),
    ("domain", {"domain": "   "}),
    ("domain", {"domain": "D" * 33}),
    ("domain", {"domain": None}),
    ("domain", {"domain": 7}),
    ("domain", {"domain": ["W"]}),
    ("domain", {"domain": b"WHOLESALE"}),
    ("domain", {"domain": "a\nb"}),
    ("domain", {"domain": "nul\x00"}),
    ("domain", {"domain": "\ud800"}),
    ("metric", {"metric": ""}),
    ("metric", {"metric": "m" * 65}),
    ("metric", {"metric": None}),
    ("actor", {"actor": "a" * 65}),
    ("actor", {"actor": 12}),
    ("actor", {"actor": "\ud800"}),
    ("correlation_id", {"correlation_id": "c" * 129}),
    ("correlation_id", {"correlation_id": 12}),
    ("correlation_id", {"correlation_id": "a\r\nSet-Cookie: x"}),
    ("db", {"db": "postgresql://"}),
    ("db", {"db": object()}),
]
BAD_VALUES = [
    math.nan,
    math.inf,
    -math.inf,
    Decimal("NaN"),
    Decimal("sNaN"),
    10**400,
    True,
    "1",
    None,
    1j,
    [1],
]


@pytest.mark.parametrize(("field", "wrong"), BAD)
def test_a_bad_argument_is_a_value_error_that_names_it(field: str, wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"db": None, "domain": "W", "metric": "m"} | wrong
    for helper in (emit_kpi, kpi_success, kpi_fail, kpi_timed_step):
        with pytest.raises(ValueError, match=rf"^{field}: expected ") as raised:
            helper(**arguments)
        assert isinstance(raised.value, InvalidEvent)
        assert raised.value.field == field


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_that_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^value: expected "):
        kpi_value(None, "W", "m", value)


@pytest.mark.parametrize("success", [1, 0, "true", [], 1.0])
def test_a_success_that_is_no_bool_is_refused(success: Any) -> None:
    with pytest.raises(ValueError, match=r"^success: expected "):
        emit_kpi(None, "W", "m", success)
