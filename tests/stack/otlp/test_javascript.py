"""OpenTelemetry's own SDK for JavaScript sends KPI events to golive."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from golive import pipeline, tokens
from tests.stack.otlp.conftest import NODE
from tests.support.service import bearer, serving, upgraded

pytestmark = pytest.mark.stack

COUNT = 700


@pytest.fixture
def service(sqlite_url: str) -> Iterator[tuple[httpx.Client, str]]:
    """A client of the service, and a token that may ingest and read."""
    with serving(upgraded(sqlite_url)) as client:
        secret = tokens.create(sqlite_url, name="node", scopes=("ingest", "read"), actor="test")
        client.headers.update(bearer(secret))
        yield client, secret


@pytest.mark.parametrize(("encoding", "compression"), [("protobuf", "gzip"), ("json", "none")])
def test_its_log_records_become_rows_with_their_trace_ids(
    service: tuple[httpx.Client, str], packages: Path, encoding: str, compression: str
) -> None:
    client, secret = service
    command = [NODE, "sender.cjs", f"{client.base_url}/v1/logs", secret, encoding, compression, str(COUNT)]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert set(sent["codes"]) == {0}  # 0: the SDK takes a partial success for one
    assert pipeline.flush(20)
    rows = client.get("/api/kpi/events", params={"domain": "NODE", "limit": 1000}).json()["events"]
    assert {row["metric"]: [row["trace_id"], row["span_id"]] for row in rows} == sent["spans"]
    assert len(rows) == COUNT
    for row in rows:
        number = int(row["metric"].removeprefix("sold_"))
        assert (row["outcome"], row["value"], row["actor"], row["correlation_id"], row["detail"]) == (
            "success" if number % 3 else "failure",
            number if number % 2 else number + 0.5,
            "node",
            "deal_js",
            {"reason": "größer", "apiKey": "[redacted]", "lines": [1, 2.5, None, True]},
        )
