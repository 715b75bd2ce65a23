"""What OpenAPI says of OTLP; the messages themselves are described by OpenTelemetry."""

from typing import Any, Final

_LOGS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An ExportLogsServiceRequest, as https://opentelemetry.io/docs/specs/otlp has it.",
    "properties": {"resourceLogs": {"type": ["array", "null"], "items": {"type": "object"}}},
    "examples": [
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {
                                    "timeUnixNano": "1767225600000000000",
                                    "eventName": "kpi.event",
                                    "traceId": "5b8efff798038103d269b633813fc60c",
                                    "spanId": "eee19b7ec3c1b174",
                                    "attributes": [
                                        {"key": "golive.domain", "value": {"stringValue": "WHOLESALE"}},
                                        {"key": "golive.metric", "value": {"stringValue": "offer_sent"}},
                                        {"key": "golive.outcome", "value": {"stringValue": "success"}},
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ]
        }
    ],
}
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
LOGS_REQUEST: Final = {
    "required": True,
    "content": {"application/json": {"schema": _LOGS}, "application/x-protobuf": _BINARY},
}

_TAKEN: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "partialSuccess": {
            "type": "object",
            "properties": {
                "rejectedLogRecords": {"type": "string"},
                "errorMessage": {"type": "string"},
            },
        }
    },
}
_STATUS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A google.rpc.Status.",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
}
_PHRASES: Final = {
    400: "It cannot be decoded",
    401: "No token, or an unknown one",
    403: "A token without the scope ingest",
    408: "The body came too slowly",
    413: "Too large, also once inflated, or too many records",
    415: "A content type or an encoding that is not OTLP's",
    429: "Too many requests: send it again, after Retry-After",
    503: "Not now: send it again, after Retry-After",
}
LOGS_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "What was good is kept; the rest is counted in `partialSuccess`.",
        "content": {"application/json": {"schema": _TAKEN}, "application/x-protobuf": _BINARY},
    },
    **{
        status: {
            "description": phrase,
            "content": {"application/json": {"schema": _STATUS}, "application/x-protobuf": _BINARY},
        }
        for status, phrase in _PHRASES.items()
    },
}
