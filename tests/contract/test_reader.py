"""The read side, of every store: rates, series, timelines, pages, and what a tripwire looks at."""

import datetime as dt
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from golive.events import KpiEvent
from golive.reader import EventFilter, EventReader
from tests.support.places import START, Place, at, event, everything, written

LENGTH_S = 4 * 86_400
BEGIN_S, END_S = 7_200, LENGTH_S - 7_200
"""Of the series; an event happens at each, and one just before the end."""


def mixed(number: int) -> list[KpiEvent]:
    """Return events of several streams and kinds, over four days, in the order they happened."""
    chance = random.Random(11)
    times = sorted(chance.uniform(0, LENGTH_S) for _ in range(number))
    made = [
        event(
            0,
            seconds,
            domain=chance.choice(["A", "A/B", "Z%"]),
            metric=chance.choice(["m", "n"]),
            success=chance.choice([True, True, False, None]),
            value=chance.choice([None, 1.5, -3.25]),
            actor=chance.choice([None, "ann", "bob"]),
            correlation_id=chance.choice([None, "deal_1", "deal_2"]),
        )
        for seconds in times
    ]
    made += [
        event(0, seconds, domain="A", metric="m", value=0.5) for seconds in (BEGIN_S, END_S, END_S - 1e-6)
    ]
    made.sort(key=lambda each: each.created_ns)
    return [each._replace(id=place) for place, each in enumerate(made, 1)]


def made(
    number: int, seconds: float, success: bool | None, value: float | None = None, **more: Any
) -> KpiEvent:
    return event(number, seconds, success=success, value=value, **more)


@pytest.fixture
def events(place: Place) -> list[KpiEvent]:
    """Events that were written twice: in one batch, and, but for the first third, in another order again."""
    made = mixed(600)
    written(place, made)
    written(place, made[:199:-1])
    return made


@pytest.fixture
def reader(place: Place, events: list[KpiEvent]) -> Iterator[EventReader]:
    with place.reading() as reader:
        yield reader


def test_cancelled_and_value_events_stand_outside_the_success_rate(place: Place) -> None:
    place.exporter.write(
        [made(1, 0, True), made(2, 1, True), made(3, 2, False), made(4, 3, None), made(5, 4, None, 2.5)]
    )
    with place.reading() as reader:
        (found,) = reader.summary()
        assert (found.events, found.successes, found.failures) == (5, 2, 1)
        assert (found.cancelled, found.values) == (1, 1)
        assert found.success_rate == pytest.approx(2 / 3)
        assert (found.value_sum, found.value_mean) == (2.5, 2.5)
        assert (found.first_at, found.last_at) == (at(0), at(4))


def test_a_metric_that_decided_nothing_has_no_rate(place: Place) -> None:
    place.exporter.write([made(1, 0, None, 1.5), made(2, 1, None)])
    with place.reading() as reader:
        (found,) = reader.summary()
        assert found.success_rate is None


def test_a_range_holds_its_beginning_and_not_its_end(place: Place) -> None:
    place.exporter.write([made(n, n, True) for n in range(1, 5)] + [made(9, 2, True, domain="C")])
    elsewhere = dt.timezone(dt.timedelta(hours=5))
    with place.reading() as reader:
        for begin, end in ((at(2), at(4)), (at(2).astimezone(elsewhere), at(4).astimezone(elsewhere))):
            found = reader.summary(begin, end)
            assert [(metric.domain, metric.events) for metric in found] == [("C", 1), ("W", 2)]
            assert [metric.domain for metric in reader.summary(begin, end, "W")] == ["W"]
        assert reader.summary(at(100)) == []


def test_a_timeline_is_in_order_of_time_and_then_of_ids(place: Place) -> None:
    mine: dict[str, Any] = {"correlation_id": "deal_1"}
    place.exporter.write(
        [
            made(7, 1.5, False, trace_id="a" * 32, span_id="b" * 16, duration_ms=12.5, **mine),
            made(6, 1.5, None, 3.0, detail='{"a": [1, null]}', actor="broker", **mine),
            made(9, 0, True, **mine),
            made(8, 2, True, correlation_id="deal_2"),
            made(5, 4, None, detail='"text"', **mine),
        ]
    )
    with place.reading() as reader:
        found = reader.timeline("deal_1")
        assert [(e.id, e.outcome, e.offset_s, e.gap_s) for e in found] == [
            (9, "success", 0.0, 0.0),
            (6, "value", 1.5, 1.5),
            (7, "failure", 1.5, 0.0),
            (5, "cancelled", 4.0, 2.5),
        ]
        assert (found[1].detail, found[1].actor, found[1].value) == ({"a": [1, None]}, "broker", 3.0)
        assert (found[2].trace_id, found[2].span_id, found[2].duration_ms) == ("a" * 32, "b" * 16, 12.5)
        assert found[3].detail == "text"
        assert reader.timeline("deal_3") == []


def test_a_summary_counts_each_event_once(reader: EventReader, events: list[KpiEvent]) -> None:
    for since, until, domain in (
        (None, None, None),
        (at(40_000), at(300_000), None),
        (None, at(90_000), "A"),
    ):
        expected: dict[tuple[str, str], list[KpiEvent]] = defaultdict(list)
        for each in events:
            happened = dt.datetime.fromtimestamp(each.created_ns / 1e9, dt.UTC)
            inside = (since is None or happened >= since) and (until is None or happened < until)
            if inside and domain in (None, each.domain):
                expected[each.domain, each.metric].append(each)
        found = reader.summary(since, until, domain)
        assert [(metric.domain, metric.metric) for metric in found] == sorted(expected)
        for metric in found:
            those = expected[metric.domain, metric.metric]
            outcomes = [each.outcome for each in those]
            values = [each.value for each in those if each.value is not None]
            assert metric.events == len(those)
            assert metric.successes == outcomes.count("success")
            assert metric.failures == outcomes.count("failure")
            assert metric.values == outcomes.count("value")
            assert metric.cancelled == outcomes.count("cancelled")
            assert metric.value_sum == pytest.approx(math.fsum(values))
            assert metric.value_mean == pytest.approx(math.fsum(values) / len(values))
            assert round(metric.first_at.timestamp() * 1e6) == those[0].created_ns // 1000
            assert round(metric.last_at.timestamp() * 1e6) == those[-1].created_ns // 1000


def test_a_stream_without_values_has_no_mean(place: Place) -> None:
    written(place, [event(1)])
    with place.reading() as reader:
        [metric] = reader.summary()
        [stream] = reader.series(START, at(60), 2)
    assert (metric.value_sum, metric.value_mean, stream.value_mean) == (None, None, None)


def test_the_steps_of_a_series_add_up_to_its_summary(reader: EventReader) -> None:
    since, until = at(BEGIN_S), at(END_S)
    made = reader.series(since, until, 48)
    known = reader.summary(since, until)
    assert [each[:2] for each in made] == [each[:2] for each in known]
    width = (until - since) / 48
    for each, summary in zip(made, known, strict=True):
        for name in ("events", "failures", "cancelled", "success_rate"):
            assert getattr(each, name) == getattr(summary, name), name
        assert each.value_mean == pytest.approx(summary.value_mean)
        assert sum(step.successes for step in each.steps) == summary.successes
        for step in each.steps:
            begin = since + step.place * width
            there = EventFilter(summary.domain, summary.metric, since=begin, until=begin + width)
            assert len(reader.events(there, 1000)) == step.events
    assert [each.domain for each in reader.series(since, until, 4, "Z%")] == ["Z%", "Z%"]


def test_a_timeline_has_the_events_of_an_id_in_the_order_they_happened(
    reader: EventReader, events: list[KpiEvent]
) -> None:
    expected = [each.id for each in events if each.correlation_id == "deal_1"]
    found = reader.timeline("deal_1")
    assert [entry.id for entry in found] == expected
    assert found[0].offset_s == 0
    assert found[-1].offset_s == pytest.approx(sum(entry.gap_s for entry in found))
    assert reader.timeline("deal_1", limit=5) == found[:5]
    assert reader.timeline("deal_3") == []


NARROWED: list[dict[str, Any]] = [
    {},
    {"domain": "A"},
    {"domain": "A", "metric": "m"},
    {"success": False},
    {"domain": "Z%", "metric": "n", "success": True, "actor": "ann"},
    {"correlation_id": "deal_2"},
    {"since": at(50_000), "until": at(200_000)},
    {"metric": "m", "since": at(50_000)},
]


def test_pages_show_each_event_once_the_newest_first(reader: EventReader, events: list[KpiEvent]) -> None:
    def fits(each: KpiEvent, narrowed: dict[str, Any]) -> bool:
        happened = dt.datetime.fromtimestamp(each.created_ns / 1e9, dt.UTC)
        rest = {name: value for name, value in narrowed.items() if name not in ("since", "until")}
        return (
            all(getattr(each, name) == value for name, value in rest.items())
            and happened >= narrowed.get("since", START)
            and happened < narrowed.get("until", at(LENGTH_S))
        )

    for narrowed in NARROWED:
        expected = [each.id for each in events if fits(each, narrowed)][::-1]
        assert expected
        assert [found.id for found in everything(reader, **narrowed)] == expected


def test_the_newest_events_of_a_stream_are_the_newest(reader: EventReader, events: list[KpiEvent]) -> None:
    stream = [each for each in events if (each.domain, each.metric) == ("A/B", "n")][::-1]
    found = reader.newest("A/B", "n", 30)
    assert [each.id for each in found] == [each.id for each in stream[:30]]
    assert [(each.success, each.value) for each in found] == [(e.success, e.value) for e in stream[:30]]
    between = reader.newest("A/B", "n", 10, since=found[9].created_at, until=found[2].created_at)
    assert between == found[3:9]
    assert len(reader.newest("A/B", "n", 1000)) == len(stream)


def test_of_one_kind_only_those_that_carry_it_are_read(reader: EventReader, events: list[KpiEvent]) -> None:
    stream = [each for each in events if (each.domain, each.metric) == ("A", "m")][::-1]
    rates = [each.id for each in stream if each.success is not None]
    values = [each.id for each in stream if each.success is None and each.value is not None]
    assert [each.id for each in reader.newest("A", "m", 20, kind="rate")] == rates[:20]
    assert [each.id for each in reader.newest("A", "m", 5, kind="value")] == values[:5]
    seen = {each.id for each in stream[:20]}
    among = [each.id for each in reader.newest("A", "m", 20, kind="value", among=20)]
    assert among == [event_id for event_id in values if event_id in seen]


def test_the_newest_event_of_all_is_known(reader: EventReader, events: list[KpiEvent]) -> None:
    newest = reader.newest_at()
    assert newest is not None
    assert round(newest.timestamp() * 1e6) == events[-1].created_ns // 1000


def test_an_empty_store_has_nothing(place: Place) -> None:
    written(place, [])
    with place.reading() as reader:
        assert reader.events(EventFilter(), 10) == []
        assert reader.summary() == []
        assert reader.timeline("deal_1") == []
        assert reader.series(START, at(60), 4) == []
        assert reader.newest("W", "sent", 10) == []
        assert reader.newest_at() is None
