"""The example users copy: its rows agree with its own books, whatever went wrong with a deal."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Connection]]:
    """What a short demo printed, and the database it left."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "examples.deal_desk.demo", "--deals", "120", "--seconds", "2"]
    run = subprocess.run(
        [*command, "--folder", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    engine = create_engine(f"sqlite:///{folder / 'golive.db'}")
    with engine.connect() as connection:
        yield run.stdout, connection
    engine.dispose()


def deals_with(connection: Connection, condition: str, **parameters: Any) -> set[str]:
    """Return the correlation ids of the KPI events that meet a condition."""
    found = connection.execute(
        text(f"SELECT DISTINCT correlation_id FROM kpi_event WHERE {condition}"), parameters
    )
    return set(found.scalars())


def test_every_row_the_driver_knows_to_be_true_is_there_and_no_other(demo: tuple[str, Connection]) -> None:
    output, _ = demo
    assert "every one true and none missing" in output


def test_the_demo_ends_with_where_its_page_is(demo: tuple[str, Connection]) -> None:
    output, _ = demo
    assert "http://localhost:8000/" in output
    assert "golive serve --database-url sqlite:///" in output


def test_a_success_inside_the_transaction_is_there_if_and_only_if_the_deal_is_in_the_books(
    demo: tuple[str, Connection],
) -> None:
    _, connection = demo
    # References are order-<n>, correlation ids deal_<n>; a reference used twice was refused the second time.
    booked = connection.execute(text("SELECT reference FROM desk_deal")).scalars()
    expected = {reference.replace("order-", "deal_") for reference in booked}
    assert len(expected) > 50
    for metric in ("risk_reserved", "recommendation", "action_executed", "risk_settled"):
        assert deals_with(connection, "metric = :metric AND success", metric=metric) == expected


def test_a_failure_outlives_the_rollback(demo: tuple[str, Connection]) -> None:
    _, connection = demo
    failed = deals_with(connection, "metric = 'action_executed' AND NOT success")
    assert failed
    assert not failed & deals_with(connection, "metric = 'risk_reserved'")


def test_a_quote_that_ran_into_the_deadline_is_cancelled(demo: tuple[str, Connection]) -> None:
    _, connection = demo
    cancelled = deals_with(connection, "metric = 'quote' AND success IS NULL AND value IS NULL")
    assert cancelled
    assert not cancelled & deals_with(connection, "metric <> 'quote'")


def test_all_rows_of_a_deal_are_in_the_trace_its_driver_began(demo: tuple[str, Connection]) -> None:
    _, connection = demo
    query = """
        SELECT count(DISTINCT trace_id), count(*) - count(trace_id) FROM kpi_event GROUP BY correlation_id
    """
    traces = connection.execute(text(query)).all()
    assert set(traces) == {(1, 0)}


def test_the_guards_ledger_is_that_of_the_deals_in_the_books(demo: tuple[str, Connection]) -> None:
    output, connection = demo
    assert "every loss booked, none open" in output
    booked = connection.scalar(text("SELECT count(*) FROM desk_deal"))
    by_action = text("SELECT action, count(*) FROM risk_event GROUP BY action")
    actions = {row[0]: row[1] for row in connection.execute(by_action)}
    assert actions["RESERVE"] == actions["SETTLE"] == booked
    denied = deals_with(connection, "metric = 'risk_denied'")
    assert actions["DENY"] == len(denied) > 0
    [statuses] = connection.execute(text("SELECT DISTINCT status FROM risk_reservation")).scalars()
    assert statuses == "settled"


def test_a_recommendation_the_charter_refuses_leaves_its_refusal_and_no_deal(
    demo: tuple[str, Connection],
) -> None:
    _, connection = demo
    refused = deals_with(
        connection, "metric = 'recommendation' AND NOT success AND detail LIKE '%NotEligible%'"
    )
    assert refused
    assert not refused & deals_with(connection, "metric = 'risk_reserved'")
    query = text("SELECT correlation_id FROM heimdall_event WHERE event = 'prod_use' AND NOT ok")
    assert set(connection.execute(query).scalars()) == refused
