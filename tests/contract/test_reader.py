"""The read side, on both databases."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from golive.database import normalise_url
from golive.events import KpiEvent
from golive.exporters.sql import SqlLogRecordExporter
from golive.sql_reader import SqlReader

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def made(
    number: int, seconds: float, success: bool | None, value: float | None = None, **given: Any
) -> KpiEvent:
    fields: dict[str, Any] = {
        "id": number, "emitter": 1, "domain": "W", "metric": "sent", "success": success, "value": value,
        "actor": None, "correlation_id": None, "detail": None, "trace_id": None, "span_id": None, "sampled": True,
        "duration_ms": None, "created_ns": round(at(seconds).timestamp() * 1e6) * 1000,
    }  # fmt: skip
    return KpiEvent(**fields | given)


@pytest.fixture
def exporter(store: str) -> Iterator[SqlLogRecordExporter]:
    exporter = SqlLogRecordExporter(store)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def connection(store: str) -> Iterator[Connection]:
    engine = create_engine(normalise_url(store))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_cancelled_and_value_events_stand_outside_the_success_rate(
    exporter: SqlLogRecordExporter, connection: Connection
) -> None:
    exporter.write(
        [made(1, 0, True), made(2, 1, True), made(3, 2, False), made(4, 3, None), made(5, 4, None, 2.5)]
    )
    (found,) = SqlReader(connection).summary()
    assert (found.events, found.successes, found.failures, found.cancelled, found.values) == (5, 2, 1, 1, 1)
    assert found.success_rate == pytest.approx(2 / 3)
    assert (found.value_sum, found.value_mean) == (2.5, 2.5)
    assert (found.first_at, found.last_at) == (at(0), at(4))


def test_a_metric_that_decided_nothing_has_no_rate(
    exporter: SqlLogRecordExporter, connection: Connection
) -> None:
    exporter.write([made(1, 0, None, 1.5), made(2, 1, None)])
    (found,) = SqlReader(connection).summary()
    assert found.success_rate is None


def test_a_range_holds_its_beginning_and_not_its_end(
    exporter: SqlLogRecordExporter, connection: Connection
) -> None:
    exporter.write([made(n, n, True) for n in range(1, 5)] + [made(9, 2, True, domain="C")])
    elsewhere = dt.timezone(dt.timedelta(hours=5))
    for begin, end in ((at(2), at(4)), (at(2).astimezone(elsewhere), at(4).astimezone(elsewhere))):
        found = SqlReader(connection).summary(begin, end)
        assert [(metric.domain, metric.events) for metric in found] == [("C", 1), ("W", 2)]
        assert [metric.domain for metric in SqlReader(connection).summary(begin, end, "W")] == ["W"]
    assert SqlReader(connection).summary(at(100)) == []


def test_a_timeline_is_in_order_of_time_and_then_of_ids(
    exporter: SqlLogRecordExporter, connection: Connection
) -> None:
    mine: dict[str, Any] = {"correlation_id": "deal_1"}
    exporter.write(
        [
            made(7, 1.5, False, trace_id="a" * 32, span_id="b" * 16, duration_ms=12.5, **mine),
            made(6, 1.5, None, 3.0, detail='{"a": [1, null]}', actor="broker", **mine),
            made(9, 0, True, **mine),
            made(8, 2, True, correlation_id="deal_2"),
            made(5, 4, None, detail='"text"', **mine),
        ]
    )
    found = SqlReader(connection).timeline("deal_1")
    assert [(e.id, e.outcome, e.offset_s, e.gap_s) for e in found] == [
        (9, "success", 0.0, 0.0),
        (6, "value", 1.5, 1.5),
        (7, "failure", 1.5, 0.0),
        (5, "cancelled", 4.0, 2.5),
    ]
    assert (found[1].detail, found[1].actor, found[1].value) == ({"a": [1, None]}, "broker", 3.0)
    assert (found[2].trace_id, found[2].span_id, found[2].duration_ms) == ("a" * 32, "b" * 16, 12.5)
    assert found[3].detail == "text"
    assert SqlReader(connection).timeline("deal_3") == []
