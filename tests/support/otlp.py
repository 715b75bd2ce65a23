"""Log records as senders make them, in both encodings."""

import base64
import json
import math
import time
from collections.abc import Sequence
from typing import Any

import httpx
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from golive import pipeline
from golive.api.otlp.bodies import JSON, PROTOBUF

LOGS = "/v1/logs"
TRACE_ID = "5b8efff798038103d269b633813fc60c"
SPAN_ID = "eee19b7ec3c1b174"


def any_value(value: Any) -> dict[str, Any]:
    """Return the JSON form of an AnyValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value if math.isfinite(value) else _not_finite(value)}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
    return {}


def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def record(
    domain: Any = "WHOLESALE",
    metric: Any = "offer_sent",
    outcome: Any = "success",
    *,
    at_ns: int | None = None,
    more: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return the JSON form of a log record; `more` are further attributes, `fields` further fields."""
    given = {"golive.domain": domain, "golive.metric": metric, "golive.outcome": outcome}
    attributes = {key: value for key, value in (given | (more or {})).items() if value is not None}
    return {
        "timeUnixNano": str(time.time_ns() if at_ns is None else at_ns),
        "eventName": "kpi.event",
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "flags": 1,
        "attributes": pairs(attributes),
    } | fields


def request(records: Sequence[dict[str, Any]], sender: str = "shop-1") -> dict[str, Any]:
    resource = {"attributes": pairs({"service.name": "shop", "service.instance.id": sender})}
    scope = {"scope": {"name": "shop"}, "logRecords": list(records)}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}


def as_json(sent: dict[str, Any]) -> bytes:
    return json.dumps(sent).encode()


def as_protobuf(sent: dict[str, Any]) -> bytes:
    """Return the binary form, by protobuf's own reader of JSON, which wants ids in base64."""
    copied = json.loads(json.dumps(sent))
    for resource in copied["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for each in scope["logRecords"]:
                for name in ("traceId", "spanId"):
                    if name in each:
                        each[name] = base64.b64encode(bytes.fromhex(each[name])).decode()
    return json_format.ParseDict(copied, ExportLogsServiceRequest()).SerializeToString()


ENCODERS = {JSON: as_json, PROTOBUF: as_protobuf}


def encoded(media_type: str, records: Sequence[dict[str, Any]], sender: str = "shop-1") -> bytes:
    return ENCODERS[media_type](request(records, sender))


def partial_success(media_type: str, content: bytes) -> tuple[int, str]:
    """Return how many records were rejected, and why."""
    answer = ExportLogsServiceResponse()
    if media_type == JSON:
        json_format.Parse(content, answer)
    else:
        answer.ParseFromString(content)
    return answer.partial_success.rejected_log_records, answer.partial_success.error_message


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def send(
    client: httpx.Client, media_type: str, records: list[dict[str, Any]], **headers: str
) -> tuple[int, str]:
    """Send records, and return how many were rejected, and why."""
    answer = post(client, media_type, encoded(media_type, records), **headers)
    assert answer.status_code == 200, answer.content
    assert answer.headers["content-type"].startswith(media_type)
    return partial_success(media_type, answer.content)


def post(client: httpx.Client, media_type: str, content: Any, **headers: str) -> httpx.Response:
    return client.post(LOGS, content=content, headers={"Content-Type": media_type} | headers)


def events(client: httpx.Client, **wanted: str) -> list[dict[str, Any]]:
    assert pipeline.flush(20)
    found: list[dict[str, Any]] = client.get("/api/kpi/events", params=wanted).json()["events"]
    return found


def counted(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("golive_kpi_events_total{"))


def status_of(answer: httpx.Response) -> tuple[int, str]:
    if answer.headers["content-type"] == PROTOBUF:
        status = Status.FromString(answer.content)
        return status.code, status.message
    body = answer.json()
    return body["code"], body["message"]
