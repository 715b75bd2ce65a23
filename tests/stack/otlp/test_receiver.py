"""golive's spans, metrics and events reach a receiver it had no part in; its outage costs no row."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.stack.otlp.conftest import Receiver
from tests.support.service import upgraded, wait_until

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[3]
COUNT = 300


@pytest.mark.parametrize(
    ("protocol", "providers"), [("grpc", "own"), ("http/protobuf", "own"), ("http/protobuf", "application")]
)
def test_killed_and_restarted_in_the_middle_it_costs_no_row(
    receiver: Receiver, sqlite_url: str, environment: dict[str, str], protocol: str, providers: str
) -> None:
    shell = environment | {
        "DATABASE_URL": upgraded(sqlite_url),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint(protocol),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "steady",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
    }
    command = [sys.executable, "-m", "tests.stack.otlp.programs.emitting", str(COUNT), providers]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=shell,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if line.strip() == str(COUNT // 3):
                wait_until(lambda: all(receiver.received(signal) for signal in ("traces", "metrics", "logs")))
                receiver.kill()
                before = {signal: len(receiver.received(signal)) for signal in ("traces", "metrics", "logs")}
            elif line.strip() == str(2 * COUNT // 3):
                receiver.start()
            elif line.startswith("flushed"):
                print(line)
                break
        wait_until(lambda: _counted(receiver) == COUNT, 20)
        wait_until(lambda: all(len(receiver.received(signal)) > before[signal] for signal in before), 20)
        program.communicate("\n", timeout=60)
        assert program.returncode == 0

    rows = _rows(sqlite_url)
    assert len(rows) == COUNT
    _check_events(receiver, rows)
    _check_spans(receiver, providers)


def test_with_no_receiver_at_all_rows_are_complete_and_the_process_ends(
    receiver: Receiver, sqlite_url: str, environment: dict[str, str]
) -> None:
    receiver.kill()
    shell = environment | {
        "DATABASE_URL": upgraded(sqlite_url),
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint("http/protobuf"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    command = [sys.executable, "-m", "tests.stack.otlp.programs.emitting", "100", "own"]
    done = subprocess.run(
        command, cwd=ROOT, env=shell, input="\n", capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert len(_rows(sqlite_url)) == 100


def test_each_signal_may_have_an_address_a_protocol_and_headers_of_its_own(
    receiver: Receiver, sqlite_url: str, environment: dict[str, str]
) -> None:
    shell = environment | {
        "DATABASE_URL": upgraded(sqlite_url),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.endpoint('http')}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": receiver.endpoint("grpc"),
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=Bearer%20x",
        "OTEL_METRICS_EXPORTER": "none",
    }
    command = [sys.executable, "-m", "tests.stack.otlp.programs.emitting", "10", "own"]
    done = subprocess.run(
        command, cwd=ROOT, env=shell, input="\n", capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert {len(receiver.received(signal)) for signal in ("traces", "logs")} == {10}
    assert receiver.received("metrics") == []


def _rows(url: str) -> list[Any]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text("SELECT * FROM kpi_event")))
    engine.dispose()
    return found


def _counted(receiver: Receiver) -> int:
    """Return how many events the newest export of the counters tells of."""
    newest: Counter[str] = Counter()
    for metric in receiver.received("metrics"):
        if metric["name"] == "golive.kpi.events":
            for point in metric["sum"]["dataPoints"]:
                newest[str(point["attributes"])] = int(point["asInt"])
    return sum(newest.values())


def _check_events(receiver: Receiver, rows: list[Any]) -> None:
    by_id = {row.id: row for row in rows}
    for record in receiver.received("logs"):
        attributes = record["attributes"]
        row = by_id[int(attributes["golive.event_id"])]
        # Its name is not shown: this receiver's protocol is older than `event_name`.
        assert attributes["golive.correlation_id"] == row.correlation_id
        assert (record["traceId"], record["spanId"]) == (row.trace_id, row.span_id)
        assert record["resource"]["service.name"] == "steady"
        assert record["resource"]["deployment.environment.name"] == "test"


def _check_spans(receiver: Receiver, providers: str) -> None:
    """Every span of a step has the correlation id, a library's within it too."""
    spans = receiver.received("traces")
    wanted = {"kpi STEADY.step", "kpi STEADY.inside"} | ({"query"} if providers == "application" else set())
    assert {span["name"] for span in spans} == wanted
    by_trace: dict[str, set[str]] = {}
    for span in spans:
        by_trace.setdefault(span["traceId"], set()).add(span["attributes"]["golive.correlation_id"])
    if providers == "application":
        assert all(len(ids) == 1 for ids in by_trace.values())
