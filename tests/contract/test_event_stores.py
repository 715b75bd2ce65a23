"""What every store of events promises, whichever database it is: each event once, and none lost."""

import json
import threading

from golive import otel_logs
from golive.ids import IdGenerator
from golive.otel_logs import LogRecordExportResult
from golive.reader import Event
from tests.support.places import Place, at, event, everything, total, written


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
    [table, *_] = place.tables() if place.kind == "clickhousedb" else ["kpi_event"]
    place.execute(
        {
            "sqlite": "CREATE TRIGGER no_poison BEFORE INSERT ON kpi_event WHEN NEW.metric = 'poison' "
            "BEGIN SELECT RAISE(ABORT, 'poison'); END",
            "postgresql": "ALTER TABLE kpi_event ADD CHECK (metric <> 'poison')",
            "clickhousedb": f"ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK metric != 'poison'",
        }[place.kind]
    )
    refused: list[str] = []
    place.exporter.on_rejected = refused.append
    written(place, [event(1), event(2), event(3, metric="poison"), event(4)])
    assert total(place) == 3
    assert [json.loads(row)["id"] for row in refused] == [3]
