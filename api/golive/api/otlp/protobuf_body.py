"""Log records from OTLP's binary form."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from golive.api.otlp.records import SENDER, Bounds, Read, Record, TooMany, Undecodable, check_attributes
from golive.errors import InvalidEvent

_CHILDREN = {"request": (1, "resource"), "resource": (2, "scope"), "scope": (2, "record")}
"""In which field of which message what stands."""


def read(body: bytes, max_records: int) -> Read:
    """Return the log records of an `ExportLogsServiceRequest`.

    Raises:
        TooMany: They, or their scopes, or the resources of those, are more than that; found out before they
            take sixty times their size in memory.
        Undecodable: It is none.
    """
    if len(body) > 2 * max_records:  # none takes less than two bytes
        _check_counts(body, max_records)
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        raise Undecodable(f"it is no ExportLogsServiceRequest: {error}") from error
    found: Read = []
    for resource in request.resource_logs:
        sender = _sender(resource.resource.attributes)
        for scope in resource.scope_logs:
            found += [_record(record, sender) for record in scope.log_records]
    return found


def _record(record: LogRecord, sender: tuple[Any, ...]) -> Record | InvalidEvent:
    try:
        check_attributes(len(record.attributes))
        bounds = Bounds()
        return Record(
            record.event_name,
            record.time_unix_nano,
            record.observed_time_unix_nano,
            record.trace_id,
            record.span_id,
            record.flags,
            _value(record.body, "body", bounds, 0),
            {pair.key: _value(pair.value, pair.key, bounds, 0) for pair in record.attributes},
            sender,
        )
    except InvalidEvent as error:
        return error


def _sender(attributes: Sequence[KeyValue]) -> tuple[Any, ...]:
    texts = {pair.key: pair.value.string_value for pair in attributes[:1000] if pair.key in SENDER}
    return tuple(texts.get(name) for name in SENDER)


def _value(value: AnyValue, field: str, bounds: Bounds, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    given = getattr(value, kind)
    if kind == "array_value":
        bounds.enter(field, len(given.values), depth)
        return [_value(item, field, bounds, depth + 1) for item in given.values]
    if kind == "kvlist_value":
        bounds.enter(field, len(given.values), depth)
        return {pair.key: _value(pair.value, field, bounds, depth + 1) for pair in given.values}
    return given


def _check_counts(body: bytes, at_most: int) -> None:
    """Raise `TooMany` for records, scopes or resources; what is damaged is for the parser."""
    seen: Counter[str] = Counter()
    pending = [("request", 0, len(body))]
    while pending:
        parent, start, end = pending.pop()
        field, child = _CHILDREN[parent]
        for number, at, until in _submessages(body, start, end):
            if number == field:
                seen[child] += 1
                if seen[child] > at_most:
                    raise TooMany
                if child in _CHILDREN:
                    pending.append((child, at, until))


def _submessages(body: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field that has a length (the wire type 2)."""
    while at < end:
        tag, at = _varint(body, at)
        match tag & 7:
            case 0:
                _, at = _varint(body, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(body, at)
                yield tag >> 3, at, min(at + length, end)
                at += length
            case 5:
                at += 4
            case _:  # groups, which end with a tag of their own
                pass


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return number, at
