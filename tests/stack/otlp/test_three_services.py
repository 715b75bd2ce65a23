"""A correlation id crosses three services, of two languages, and comes out whole."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from golive import tokens
from tests.stack.otlp.conftest import NODE
from tests.support.service import bearer, golive_serve, upgraded, wait_until

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[3]


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run a service that prints its address first; give that."""
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://")
            yield address
        finally:
            process.terminate()


def python(program: str) -> list[str]:
    return [sys.executable, "-m", f"tests.contract.programs.{program}"]


def test_python_asks_node_asks_python_under_one_correlation_id(
    packages: Path, sqlite_url: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    secret = tokens.create(upgraded(sqlite_url), name="node", scopes=("ingest", "read"), actor="test")
    shell = environment | {"DATABASE_URL": sqlite_url, "SPANS": str(tmp_path / "spans.jsonl")}
    with ExitStack() as started:
        golive, _, _ = started.enter_context(golive_serve(tmp_path, shell))
        back = started.enter_context(running(python("back_service"), ROOT, shell))
        node = shell | {"LOGS_URL": f"{golive}/v1/logs", "TOKEN": secret, "BACK_URL": back}
        middle = started.enter_context(running([NODE, "service.cjs"], packages, node))
        front = started.enter_context(running(python("front_service"), ROOT, shell | {"BACK_URL": middle}))

        ids = ["deal_1", "deal+2", "täglich/3;4,5", "x" * 128]
        for correlation_id in ids:
            headers = {"baggage": f"golive.correlation_id={quote(correlation_id, safe='')}"}
            answer = httpx.post(f"{front}/offer", headers=headers, timeout=30)
            assert (answer.status_code, answer.json()) == (200, 100.0)

        def timeline(correlation_id: str) -> list[dict[str, str]]:
            answer = httpx.get(
                f"{golive}/api/kpi/correlations/{quote(correlation_id, safe='')}", headers=bearer(secret)
            )
            found: list[dict[str, str]] = answer.json()["events"]
            return found

        for correlation_id in ids:
            wait_until(lambda wanted=correlation_id: len(timeline(wanted)) == 4, 20)
            events = timeline(correlation_id)
            named = {f"{event['domain']}.{event['metric']}" for event in events}
            assert named == {"FRONT.offer", "FRONT.offer_sent", "MIDDLE.routed", "BACK.priced"}
            assert {event["outcome"] for event in events} == {"success"}
            assert len({event["trace_id"] for event in events}) == 1, "one trace through all three"
            assert len({event["span_id"] for event in events}) == 4
