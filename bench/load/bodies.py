"""The requests a client of the service sends, whole, and made before anything is measured."""

import gzip
import itertools
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from golive.api.otlp.bodies import JSON, PROTOBUF
from tests.support import otlp

KPI = "/api/governance/regression/kpi"
CORRELATIONS = 4
"""Events of one correlation id, roughly."""


class Case(NamedTuple):
    """One kind of request.

    Attributes:
        title: What the tables call it.
        path: Where it goes.
        batch: Its events.
        zipped: Whether by gzip.
    """

    title: str
    path: str
    batch: int
    zipped: bool = False


_moments = itertools.count(time.time_ns() - 600 * 1_000_000_000, 1_000_000)


def requests(case: Case, secret: str, count: int) -> list[bytes]:
    """Return that many requests with their headers; of OTLP no two alike, for those would be taken once."""
    made = _otlp(case) if case.path == otlp.LOGS else _kpi(case)
    media_type = PROTOBUF if case.path == otlp.LOGS else JSON
    encoding = "Content-Encoding: gzip\r\n" if case.zipped else ""
    return [
        (
            f"POST {case.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
            f"Content-Type: {media_type}\r\n{encoding}Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
        for body in itertools.islice(made, count)
    ]


def _kpi(case: Case) -> Iterator[bytes]:
    events = [
        {
            "domain": "WHOLESALE",
            "metric": "offer_sent",
            "success": True,
            "actor": "broker",
            "correlation_id": f"deal_{number // CORRELATIONS}",
            "detail": {"score": 0.32},
        }
        for number in range(case.batch)
    ]
    body = json.dumps({"events": events} if case.batch > 1 else events[0]).encode()
    return itertools.repeat(body)


def _otlp(case: Case) -> Iterator[bytes]:
    more = {"golive.actor": "broker", "golive.correlation_id": "deal_1", "golive.detail": {"score": 0.32}}
    records = [
        otlp.record(more=more | {"golive.correlation_id": f"deal_{number // CORRELATIONS}"})
        for number in range(case.batch)
    ]
    request = ExportLogsServiceRequest.FromString(otlp.encoded(PROTOBUF, records))
    inside = request.resource_logs[0].scope_logs[0].log_records
    while True:
        for record in inside:
            record.time_unix_nano = next(_moments) % time.time_ns()
        body = request.SerializeToString()
        yield gzip.compress(body, 6) if case.zipped else body
