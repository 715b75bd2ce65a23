"""The series of the page's charts: the same figures as the summary, in steps, from an index."""

import datetime as dt
import random
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from golive import governance, reader
from golive.models import KpiEventRow
from golive.series import newest_at, series, streams

SINCE = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
UNTIL = SINCE + dt.timedelta(hours=24)


def events(count: int) -> list[dict[str, Any]]:
    """Return events of several streams, of every kind, some before and some after the range."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        success = chance.choice([True, True, False, None])
        made.append(
            {
                "id": number + 1,
                "emitter": 1,
                "domain": chance.choice(["A", "A/B", "Z%"]),
                "metric": chance.choice(["m", "n"]),
                "success": success,
                "value": chance.choice([None, 1.5, -3.0]),
                "created_at": SINCE + dt.timedelta(seconds=chance.uniform(-7200, 86400 + 7200)),
            }
        )
    for at, place in ((SINCE, 1), (UNTIL, 2), (UNTIL - dt.timedelta(microseconds=1), 3)):
        edge = {"id": count + place, "emitter": 1, "domain": "A", "metric": "m", "success": True}
        made.append(edge | {"value": None, "created_at": at})
    return made


@pytest.fixture
def connection(store: str) -> Any:
    with governance.engine_for(store).begin() as writing:
        writing.execute(insert(KpiEventRow), events(900))
    with governance.reading(store, "events") as reading:
        yield reading


def test_the_figures_are_those_of_the_summary(connection: Connection) -> None:
    made = series(connection, SINCE, UNTIL, 48)
    known = reader.summary(connection, SINCE, UNTIL)
    assert [each[:2] for each in made] == [each[:2] for each in known]
    for found, summary in zip(made, known, strict=True):
        for name in ("events", "failures", "cancelled", "success_rate"):
            assert getattr(found, name) == getattr(summary, name), name
        assert found.value_mean == pytest.approx(summary.value_mean)
        assert sum(step.successes for step in found.steps) == summary.successes


def test_every_event_is_in_the_step_of_its_time(connection: Connection) -> None:
    width = dt.timedelta(hours=24) / 48
    for each in series(connection, SINCE, UNTIL, 48):
        domain, metric = each[:2]
        for step in each.steps:
            start = SINCE + step.place * width
            wanted = reader.EventFilter(domain, metric, since=start, until=start + width)
            assert len(reader.events(connection, wanted, 1000)) == step.events
        assert [step.place for step in each.steps] == sorted({step.place for step in each.steps})
        assert each.steps[0].place >= 0
        assert each.steps[-1].place <= 47


def test_a_domain_may_be_asked_for_alone(connection: Connection) -> None:
    assert list(streams(connection)) == [(d, m) for d in ("A", "A/B", "Z%") for m in ("m", "n")]
    assert list(streams(connection, "A/B")) == [("A/B", "m"), ("A/B", "n")]
    assert [each.domain for each in series(connection, SINCE, UNTIL, 48, "Z%")] == ["Z%", "Z%"]


def test_the_newest_event_is_known_without_reading_them_all(connection: Connection) -> None:
    newest = max(event["created_at"] for event in events(900))
    assert newest_at(connection) == newest


def test_an_empty_store_has_no_series(store: str) -> None:
    with governance.reading(store) as connection:
        assert series(connection, SINCE, UNTIL, 48) == []
        assert newest_at(connection) is None
