"""What every store of events promises, whichever database it is: each event once, and read as it was given."""

import datetime as dt
import json
import math
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from golive import otel_logs
from golive.events import KpiEvent
from golive.ids import IdGenerator
from golive.otel_logs import LogRecordExportResult
from golive.reader import Cursor, Event, EventFilter, EventReader
from tests.support.places import Place

START = dt.datetime(2026, 3, 30, tzinfo=dt.UTC)
"""Two days before a month, so that the events of the tests are in two partitions."""
LENGTH_S = 4 * 86_400


def event(event_id: int, seconds: float = 0.0, **more: Any) -> KpiEvent:
    fields: dict[str, Any] = {
        "id": event_id, "emitter": 1, "domain": "W", "metric": "sent", "success": True, "value": None, "actor": None,
        "correlation_id": None, "detail": None, "trace_id": None, "span_id": None, "sampled": False,
        "duration_ms": None, "created_ns": (round(START.timestamp() * 1e6) + round(seconds * 1e6)) * 1000,
    }  # fmt: skip
    return KpiEvent(**fields | more)


def mixed(number: int) -> list[KpiEvent]:
    """Return events of several streams and kinds, over four days, in the order they happened."""
    chance = random.Random(11)
    times = sorted(chance.uniform(0, LENGTH_S) for _ in range(number))
    return [
        event(
            place,
            seconds,
            domain=chance.choice(["A", "A/B", "Z%"]),
            metric=chance.choice(["m", "n"]),
            success=chance.choice([True, True, False, None]),
            value=chance.choice([None, 1.5, -3.25]),
            actor=chance.choice([None, "ann", "bob"]),
            correlation_id=chance.choice([None, "deal_1", "deal_2"]),
        )
        for place, seconds in enumerate(times, 1)
    ]


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def written(place: Place, events: list[KpiEvent]) -> None:
    """Export events, as the pipeline does."""
    batch = [otel_logs.readable(otel_logs.to_record(each)) for each in events]
    assert place.exporter.export(batch) is LogRecordExportResult.SUCCESS


def everything(reader: EventReader, **narrowed: Any) -> list[Event]:
    """Return all events there are, page by page."""
    found: list[Event] = []
    after = None
    while page := reader.events(EventFilter(**narrowed), 97, after):
        found += page
        after = Cursor(page[-1].created_at, page[-1].id)
    return found


def total(place: Place) -> int:
    """Return how many events there are, which every way to read has to agree on."""
    with place.reading() as reader:
        by_page = len(everything(reader))
        by_stream = sum(len(everything(reader, domain=d, metric=m)) for d, m in streams(reader))
        counted = sum(metric.events for metric in reader.summary())
        newest = sum(len(reader.newest(d, m, 100_000)) for d, m in streams(reader))
    assert {by_page, by_stream, newest} == {counted}
    return counted


def streams(reader: EventReader) -> list[tuple[str, str]]:
    return [(metric.domain, metric.metric) for metric in reader.summary()]


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


def test_a_batch_written_twice_is_there_once(place: Place) -> None:
    generate = IdGenerator()
    batch = [event(generate(), n, emitter=generate.emitter, correlation_id="deal_1") for n in range(500)]
    for _ in range(3):
        written(place, batch)
    assert total(place) == 500
    with place.reading() as reader:
        assert len(reader.timeline("deal_1")) == 500
    assert place.exporter.write([*batch, event(generate(), 900.0)]) == 1
    assert total(place) == 501


def test_ids_two_processes_share_lose_nothing(place: Place) -> None:
    one = [event(number, emitter=1, correlation_id="deal_1") for number in range(1, 201)]
    two = [event(number, emitter=2, correlation_id="deal_1") for number in range(1, 201)]
    for batch in (one, two, two, one + two):
        written(place, batch)
    assert total(place) == 400
    with place.reading() as reader:
        assert len(reader.timeline("deal_1")) == 400


def test_one_id_for_every_event_of_a_batch_loses_nothing(place: Place) -> None:
    batch = [event(7, number, emitter=3) for number in range(40)]
    written(place, batch)
    written(place, batch)
    assert total(place) == 40


def test_processes_that_deliver_the_same_events_at_once_write_each_once(place: Place) -> None:
    generate = IdGenerator()
    batch = [event(generate(), n, emitter=generate.emitter) for n in range(400)]
    written(place, batch[:1])
    threads = [threading.Thread(target=written, args=(place, batch)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(place) == 400


def test_what_is_read_is_what_was_written(place: Place) -> None:
    given = event(
        (1 << 63) - 1, 0.123456, emitter=(1 << 63) - 1, success=None, value=0.1 + 0.2, actor="back\\slash 漢'\"`",
        correlation_id="deal {x} 100%", detail=json.dumps({"plain": "tab\t \\N é", "n": [1, 2.5, None]}),
        trace_id="0" * 31 + "1", span_id="f" * 16, duration_ms=0.25,
    )  # fmt: skip
    bare = event(1, -2e9, success=None)
    written(place, [given, bare])
    with place.reading() as reader:
        first, last = sorted(everything(reader))
    assert last == Event(
        given.id, at(0.123456), "W", "sent", "value", 0.1 + 0.2, given.actor, given.correlation_id, 0.25,
        given.trace_id, given.span_id, {"plain": "tab\t \\N é", "n": [1, 2.5, None]},
    )  # fmt: skip
    assert first == Event(1, at(-2e9), "W", "sent", "cancelled", *[None] * 7)
    [found] = place.exporter.find([given.id, 5])
    assert found._replace(detail=given.detail) == given
    assert json.loads(found.detail) == json.loads(given.detail or "")
    with place.reading() as reader:
        [entry] = reader.timeline("deal {x} 100%")
    assert (entry.id, entry.detail) == (given.id, last.detail)


def test_the_store_says_which_events_it_lacks(place: Place) -> None:
    batch = [event(number, number) for number in range(1, 11)]
    written(place, batch[:6])
    assert place.exporter.lacking(batch) == batch[6:]
    assert place.exporter.lacking([event(3, 3, emitter=2)]) == [event(3, 3, emitter=2)]


def test_a_store_that_is_away_takes_the_batch_when_it_is_back(place: Place) -> None:
    written(place, [event(100)])
    table, elsewhere = "kpi_event", "elsewhere"
    rename = "RENAME TABLE {} TO {}" if place.kind == "clickhousedb" else "ALTER TABLE {} RENAME TO {}"
    place.execute(rename.format(table, elsewhere))
    batch = [otel_logs.readable(otel_logs.to_record(event(number))) for number in range(1, 4)]
    assert place.exporter.export(batch) is LogRecordExportResult.FAILURE
    place.execute(rename.format(elsewhere, table))
    assert place.exporter.export(batch) is LogRecordExportResult.SUCCESS
    assert total(place) == 4


def test_an_event_the_store_refuses_holds_up_no_other(place: Place) -> None:
    written(place, [event(1)])
    place.execute(
        {
            "sqlite": "CREATE TRIGGER no_poison BEFORE INSERT ON kpi_event WHEN NEW.metric = 'poison' "
            "BEGIN SELECT RAISE(ABORT, 'poison'); END",
            "postgresql": "ALTER TABLE kpi_event ADD CHECK (metric <> 'poison')",
            "clickhousedb": "ALTER TABLE kpi_event ADD CONSTRAINT no_poison CHECK metric != 'poison'",
        }[place.kind]
    )
    refused: list[str] = []
    place.exporter.on_rejected = refused.append
    written(place, [event(1), event(2), event(3, metric="poison"), event(4)])
    assert total(place) == 3
    assert [json.loads(row)["id"] for row in refused] == [3]


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


def test_a_stream_without_values_has_no_sum(place: Place) -> None:
    written(place, [event(1)])
    with place.reading() as reader:
        [metric] = reader.summary()
        [stream] = reader.series(START, at(60), 2)
    assert (metric.value_sum, metric.value_mean) == (None, None) == stream.summary[7:9]


def test_the_steps_of_a_series_add_up_to_its_summary(reader: EventReader) -> None:
    since, until = at(7_200), at(LENGTH_S - 7_200)
    made = reader.series(since, until, 48)
    summaries = [each.summary._replace(value_sum=None, value_mean=None) for each in made]
    known = reader.summary(since, until)
    assert summaries == [each._replace(value_sum=None, value_mean=None) for each in known]
    width = (until - since) / 48
    for each, summary in zip(made, known, strict=True):
        assert each.summary.value_sum == pytest.approx(summary.value_sum)
        assert sum(step.events for step in each.steps) == summary.events
        for step in each.steps:
            begin = since + step.place * width
            there = EventFilter(summary.domain, summary.metric, since=begin, until=begin + width)
            assert len(reader.events(there, 1000)) == step.events
    assert [each.summary.domain for each in reader.series(since, until, 4, "Z%")] == ["Z%", "Z%"]


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


@pytest.mark.parametrize(
    "narrowed",
    [
        {},
        {"domain": "A"},
        {"domain": "A", "metric": "m"},
        {"success": False},
        {"domain": "Z%", "metric": "n", "success": True, "actor": "ann"},
        {"correlation_id": "deal_2"},
        {"since": at(50_000), "until": at(200_000)},
        {"metric": "m", "since": at(50_000)},
    ],
)
def test_pages_show_each_event_once_the_newest_first(
    reader: EventReader, events: list[KpiEvent], narrowed: dict[str, Any]
) -> None:
    def fits(each: KpiEvent) -> bool:
        happened = dt.datetime.fromtimestamp(each.created_ns / 1e9, dt.UTC)
        rest = {name: value for name, value in narrowed.items() if name not in ("since", "until")}
        return (
            all(getattr(each, name) == value for name, value in rest.items())
            and happened >= narrowed.get("since", START)
            and happened < narrowed.get("until", at(LENGTH_S))
        )

    expected = [each.id for each in events if fits(each)][::-1]
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
