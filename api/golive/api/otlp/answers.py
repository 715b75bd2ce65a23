"""What the sender is told, in the encoding it sent."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from starlette.responses import Response

from golive.api.otlp.bodies import JSON, PROTOBUF
from golive.api.problems import Problem
from golive.errors import InvalidEvent

_MESSAGE_MAX: Final = 4000
_RANGES_MAX: Final = 20
_CODES: Final = {400: 3, 401: 16, 403: 7, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
"""Of `google.rpc.Code`, by HTTP status."""
_INTERNAL: Final = 13


def taken(media_type: str, refused: Sequence[tuple[int, InvalidEvent]]) -> Response:
    """Return the answer to a request of which these records were refused."""
    message = described(refused)
    if media_type == JSON:
        partial = {"rejectedLogRecords": str(len(refused)), "errorMessage": message}
        return Response(json.dumps({"partialSuccess": partial} if refused else {}), media_type=JSON)
    answer = ExportLogsServiceResponse()
    if refused:
        answer.partial_success.rejected_log_records = len(refused)
        answer.partial_success.error_message = message
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def failed(media_type: str, problem: Problem) -> Response:
    """Return what a refused request is answered: a `google.rpc.Status`, JSON unless it sent protobuf."""
    details = problem.details
    code = _CODES.get(details.status, _INTERNAL)
    message = ": ".join(filter(None, (details.title, details.detail)))
    if media_type == PROTOBUF:
        content = Status(code=code, message=message).SerializeToString()
    else:
        media_type, content = JSON, json.dumps({"code": code, "message": message}).encode()
    headers = {"Cache-Control": "no-store", **(problem.headers or {})}
    return Response(content, details.status, headers, media_type)


def described(refused: Sequence[tuple[int, InvalidEvent]]) -> str:
    """Return which records were refused and why, in one text; those with one reason together."""
    by_reason: dict[tuple[str, str], list[tuple[int, InvalidEvent]]] = {}
    for index, error in refused:
        by_reason.setdefault((error.field, error.expected), []).append((index, error))
    text = "; ".join(
        f"log record{'s' if len(found) > 1 else ''} {_ranges([index for index, _ in found])}: {found[0][1]}"
        for found in by_reason.values()
    )
    if len(text) > _MESSAGE_MAX:
        text = f"{text[:_MESSAGE_MAX]}…"
    return text.encode("utf-8", "backslashreplace").decode()  # the name of an attribute may be anything


def _ranges(indices: Sequence[int]) -> str:
    """Return `0, 3-5` for 0, 3, 4, 5."""
    shown: list[str] = []
    for _, run in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]):
        numbers = [index for _, index in run]
        shown.append(f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}")
    more = f" and {len(shown) - _RANGES_MAX} more ranges" if len(shown) > _RANGES_MAX else ""
    return ", ".join(shown[:_RANGES_MAX]) + more
