"""How fast KPI events come in by OTLP, against the batches of `regression/kpi`."""

import gzip
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from bench._rounds import compare

from golive import pipeline
from golive.api.otlp.bodies import JSON, PROTOBUF
from tests.support.otlp import LOGS, encoded, record
from tests.support.service import serving, token, upgraded

BATCH = 500
BATCHES = 8
ROUNDS = 11
KPI = "/api/governance/regression/kpi"

_moments = itertools.count(1_760_000_000_000_000_000, 1_000)


def main() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        url = upgraded(f"sqlite:///{Path(folder) / 'golive.db'}")
        with serving(url, requests_per_minute=1_000_000) as client:
            client.headers.update(token(url, "ingest"))
            return [
                line("OTLP in, protobuf", sending(client, LOGS, PROTOBUF, lambda: otlp(PROTOBUF)), client),
                line("OTLP in, protobuf, gzip", sending(client, LOGS, PROTOBUF, zipped, gzip=True), client),
                line("OTLP in, JSON", sending(client, LOGS, JSON, lambda: otlp(JSON)), client),
            ]


def line(name: str, ours: Callable[[], float], client: httpx.Client) -> str:
    result = compare(ours, sending(client, KPI, JSON, batch), ROUNDS)
    return (
        f"| {name} | {1 / result.ours:,.0f} events/s | `regression/kpi` in batches of {BATCH} | "
        f"{1 / result.theirs:,.0f} events/s | {result.theirs / result.ours:.2f} | |"
    )


def sending(
    client: httpx.Client, path: str, media_type: str, body: Callable[[], bytes], gzip: bool = False
) -> Callable[[], float]:
    """Return what sends batches, and returns the seconds an event takes until it is acknowledged."""
    headers = {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if gzip else {})

    def run() -> float:
        bodies = [body() for _ in range(BATCHES)]
        started = time.perf_counter()
        for content in bodies:
            client.post(path, content=content, headers=headers).raise_for_status()
        took = time.perf_counter() - started
        assert pipeline.flush(30)  # neither side delivers what the other brought
        return took / (BATCH * BATCHES)

    return run


def otlp(media_type: str) -> bytes:
    more = {"golive.actor": "broker", "golive.correlation_id": "deal_1", "golive.detail": {"score": 0.32}}
    return encoded(media_type, [record(at_ns=next(_moments), more=more) for _ in range(BATCH)])


def zipped() -> bytes:
    return gzip.compress(otlp(PROTOBUF))


def batch() -> bytes:
    event = {
        "domain": "WHOLESALE",
        "metric": "offer_sent",
        "success": True,
        "actor": "broker",
        "correlation_id": "deal_1",
        "detail": {"score": 0.32},
    }
    return json.dumps({"events": [event] * BATCH}).encode()


if __name__ == "__main__":
    print("\n".join(main()))
