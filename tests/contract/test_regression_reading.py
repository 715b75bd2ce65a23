"""An evaluation reads the newest rows of one stream and no others, in one range of one index."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from golive import database, governance
from golive.regression import events
from golive.sql_reader import SqlReader
from golive.tripwire import Rule, events_needed
from tests.support.wires import fill

STREAM = ("WHOLESALE", "contract_rate")
CONFIRMED = Rule()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("analysed", [True, False])
def test_postgresql_reads_one_range_of_the_index_and_sorts_nothing(postgres_url: str, analysed: bool) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    for metric in range(5):
        fill(postgres_url, ("WHOLESALE", f"metric_{metric}"), [True] * 2000)
    fill(postgres_url, STREAM, [True, False] * 5000)
    statements: list[tuple[str, Any]] = []
    with governance.engine_for(postgres_url).connect() as connection:
        if analysed:
            connection.execute(text("ANALYZE kpi_event"))
        else:
            connection.execute(text("ALTER TABLE kpi_event SET (autovacuum_enabled = off)"))
        connection.commit()

        @event.listens_for(connection, "before_cursor_execute")
        def _note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            statements.append((statement, parameters))

        found = events.newest(SqlReader(connection), *STREAM, events_needed(CONFIRMED))
        reads = [each for each in statements if each[0].startswith("SELECT")]
        [(statement, parameters)] = reads
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
        plan = connection.exec_driver_sql(explain, parameters).scalar_one()
    assert len(found) == 1400
    [root] = json.loads(plan) if isinstance(plan, str) else plan
    made = list(nodes(root["Plan"]))
    assert [node["Node Type"] for node in made] == ["Limit", "Index Scan"]
    assert made[1]["Index Name"] == "ix_kpi_event_domain_metric_created_at_id"
    assert made[1]["Scan Direction"] == "Backward"
    assert made[1]["Actual Rows"] == 1400
    assert "Filter" not in made[1]


def test_a_second_read_finds_the_kind_the_first_was_short_of(store: str) -> None:
    fill(store, STREAM, [outcome for _ in range(300) for outcome in (None, 2.5, True, True)])
    with governance.reading(store) as connection:
        found = events.newest(SqlReader(connection), *STREAM, 400)
    assert len({each.id for each in found if each.success is not None}) == 400
    with governance.reading(store) as connection:
        found = events.newest(SqlReader(connection), *STREAM, 200, kind="value")
    assert len({each.id for each in found if each.success is None and each.value is not None}) == 200


def test_a_stream_of_cancelled_events_is_not_read_to_its_end(store: str) -> None:
    fill(store, STREAM, [True] * 10 + [None] * 500 + [True] * 5)
    with governance.reading(store) as connection:
        found = events.newest(SqlReader(connection), *STREAM, 20)
    assert sum(each.success is True for each in {each.id: each for each in found}.values()) == 5


def test_a_plan_set_for_one_read_does_not_outlive_its_transaction(postgres_url: str) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    with governance.engine_for(postgres_url).connect() as connection:
        events.newest(SqlReader(connection), *STREAM, 10)
        connection.rollback()
        assert connection.scalar(text("SHOW enable_sort")) == "on"
