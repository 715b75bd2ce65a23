"""E7: metrics have bounded labels. E8: secrets leave no call. And no detail makes a lost or half row."""

import datetime as dt
import json
import logging
from decimal import Decimal
from typing import Any

import pytest

from golive import pipeline
from golive.kpi import kpi_fail, kpi_success
from tests.contract.conftest import Golive


def test_past_the_limit_further_pairs_count_together(
    golive: Golive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOLIVE_MAX_SERIES", "3")
    golive.start()
    for number in range(10):
        kpi_success(None, "W", f"m{number}", actor=f"a{number}", correlation_id=f"c{number}")
        kpi_success(None, "W", "m0")
    assert golive.counter() == {
        ("W", "m0", "success"): 11,
        ("W", "m1", "success"): 1,
        ("W", "m2", "success"): 1,
        ("__overflow__", "__overflow__", "success"): 7,
    }
    assert len(golive.rows()) == 20
    assert [r.levelno for r in caplog.records if "count under __overflow__" in r.message] == [logging.WARNING]


def test_no_label_is_an_actor_a_correlation_id_or_a_detail(golive: Golive) -> None:
    kpi_fail(None, "W", "sent", actor="broker", correlation_id="deal_1", detail={"a": 1})
    data = golive.reader.get_metrics_data()
    assert data is not None
    labels = {
        key
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        for key in point.attributes or {}
    }
    assert labels <= {"domain", "metric", "outcome", "reason"}


def test_secrets_are_in_no_row_event_span_or_spool(golive: Golive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    detail = {
        "user": {"Password": "hunter2"},
        "headers": [{"Authorization": "Bearer hunter2"}],
        "note": "token=hunter2",
    }
    kpi_success(None, "W", "sent", detail=detail)
    spooled = b"".join(file.read_bytes() for file in golive.spool_dir.rglob("*.log"))
    (row,) = golive.rows()
    (event,) = golive.events()
    (span,) = golive.spans.get_finished_spans()
    for place in (spooled.decode(), str(row), str(event.attributes), span.to_json(), caplog.text):
        assert "hunter2" not in place
    assert "[redacted]" in str(row.detail)


def test_further_words_are_secret_when_the_environment_says_so(
    golive: Golive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_REDACT_KEYS", "reserve_price, margin")
    golive.start()
    kpi_success(None, "W", "sent", detail={"reservePrice": 100, "margin": 3, "price": 120})
    assert json.loads(golive.events()[0].attributes["golive.detail"] if golive.rows() else "") == {
        "reservePrice": "[redacted]",
        "margin": "[redacted]",
        "price": 120,
    }


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("a plain string", "a plain string"),
        ("123", "123"),
        ('{"looks": "like JSON"}', '{"looks": "like JSON"}'),
        ({"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, {"when": "2026-01-01T00:00:00+00:00"}),
        ({"amount": Decimal("1.10")}, {"amount": "1.10"}),
        ({1, 2}, [1, 2]),
        (b"\xff\x00", "��"),
        ("nul \x00, surrogate \ud83d, emoji 😀", "nul �, surrogate �, emoji 😀"),
        (CYCLE, ["[cycle]"]),
        (Hostile(), {"unstorable": "Hostile", "error": "RuntimeError"}),
        (
            {"nan": float("nan"), "big": 2**63, "huge": 10**5000},
            {"nan": "NaN", "big": "9.2233720368547758e+18", "huge": "Infinity"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_detail_makes_a_whole_row(golive: Golive, given: object, stored: object) -> None:
    from sqlalchemy import text
    from sqlalchemy.orm import Session

    kpi_success(None, "W", "at_once", detail=given)
    with Session(golive.engine) as db:
        db.execute(text("SELECT 1"))
        kpi_success(db, "W", "in_transaction", detail=given)
        db.commit()
    from golive.sql_reader import SqlReader

    with golive.engine.connect() as connection:
        assert len(golive.rows()) == 2
        assert SqlReader(connection).timeline("none") == []
    for row in golive.rows():
        found = json.loads(row.detail) if golive.engine.dialect.name == "sqlite" else row.detail
        assert found == stored


def test_ten_megabytes_of_detail_are_a_preview(golive: Golive) -> None:
    kpi_success(None, "W", "sent", detail={"text": "x" * 10_000_000})
    (row,) = golive.rows()
    assert "truncated" in str(row.detail)
    assert len(str(row.detail)) < 70_000
    assert pipeline.account().events["W", "sent", "success"] == 1
