"""Log records from OTLP's JSON form.

Read by hand: protobuf's own reader of JSON takes the ids of traces for base64, which are hexadecimal here,
and takes ten times as long. Fields that nobody knows are passed over, as the specification says.
"""

import base64
import binascii
import json
import reprlib
from collections import Counter
from typing import Any

from golive.api.otlp.records import SENDER, Bounds, Read, Record, TooMany, Undecodable, check_attributes
from golive.errors import InvalidEvent

_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}


def read(body: bytes, max_records: int) -> Read:
    """Return the log records of an `ExportLogsServiceRequest`.

    Raises:
        TooMany: They, or their scopes, or the resources of those, are more than that.
        Undecodable: It is none.
    """
    try:
        request = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"it is no JSON: {type(error).__name__}") from error
    if not isinstance(request, dict):
        raise Undecodable("it is no JSON object")
    found: Read = []
    lists = _Lists(max_records)
    for resource in lists.objects(request, "resourceLogs"):
        sender = _sender(resource.get("resource"))
        for scope in lists.objects(resource, "scopeLogs"):
            found += [_record(record, sender) for record in lists.items(scope, "logRecords")]
    return found


class _Lists:
    """Takes lists out of their parents, and counts what is in all of one name."""

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._seen: Counter[str] = Counter()

    def items(self, parent: dict[str, Any], name: str) -> list[Any]:
        given = parent.get(name)
        if given is None:
            return []
        if not isinstance(given, list):
            raise Undecodable(f"{name}: expected a list")
        self._seen[name] += len(given)
        if self._seen[name] > self._max_items:
            raise TooMany
        return given

    def objects(self, parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
        given = self.items(parent, name)
        if not all(isinstance(item, dict) for item in given):
            raise Undecodable(f"{name}: expected a list of objects")
        return given


def _record(record: object, sender: tuple[Any, ...]) -> Record | InvalidEvent:
    try:
        if not isinstance(record, dict):
            raise _invalid("log record", "an object", record)
        bounds = Bounds()
        return Record(
            _text(record, "eventName"),
            _unsigned(record, "timeUnixNano", 64),
            _unsigned(record, "observedTimeUnixNano", 64),
            _hex(record, "traceId"),
            _hex(record, "spanId"),
            _unsigned(record, "flags", 32),
            _value(record.get("body"), "body", bounds, 0),
            _attributes(record.get("attributes"), bounds),
            sender,
        )
    except InvalidEvent as error:
        return error


def _attributes(given: object, bounds: Bounds) -> dict[str, Any]:
    pairs = _list(given, "attributes")
    check_attributes(len(pairs))
    return {key: _value(value, key, bounds, 0) for key, value in map(_pair, pairs)}


def _sender(resource: object) -> tuple[Any, ...]:
    given = resource.get("attributes") if isinstance(resource, dict) else None
    texts: dict[str, Any] = {}
    for pair in given[:1000] if isinstance(given, list) else ():
        if isinstance(pair, dict) and pair.get("key") in SENDER and isinstance(pair.get("value"), dict):
            texts[pair["key"]] = str(pair["value"].get("stringValue"))
    return tuple(texts.get(name) for name in SENDER)


def _pair(pair: object) -> tuple[str, Any]:
    if not isinstance(pair, dict) or not isinstance(pair.get("key", ""), str):
        raise _invalid("attributes", "objects of key and value", pair)
    return pair.get("key", ""), pair.get("value")


def _value(given: object, field: str, bounds: Bounds, depth: int) -> Any:
    """Return what an `AnyValue` holds."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _invalid(field, 'an AnyValue, as {"stringValue": …}', given)
    for kind, value in given.items():
        if value is None:
            continue
        match kind:
            case "stringValue" if isinstance(value, str):
                return value
            case "boolValue" if isinstance(value, bool):
                return value
            case "intValue":
                return _integer(field, value, -(1 << 63), (1 << 63) - 1)
            case "doubleValue":
                return _double(field, value)
            case "bytesValue" if isinstance(value, str):
                return _bytes(field, value)
            case "arrayValue" if isinstance(value, dict):
                items = _list(value.get("values"), field)
                bounds.enter(field, len(items), depth)
                return [_value(item, field, bounds, depth + 1) for item in items]
            case "kvlistValue" if isinstance(value, dict):
                pairs = _list(value.get("values"), field)
                bounds.enter(field, len(pairs), depth)
                return {key: _value(item, field, bounds, depth + 1) for key, item in map(_pair, pairs)}
            case "stringValue" | "boolValue" | "bytesValue" | "arrayValue" | "kvlistValue":
                raise _invalid(field, f"a {kind}", value)
    return None


def _list(given: object, field: str) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise _invalid(field, "a list", given)
    return given


def _text(record: dict[str, Any], name: str) -> str:
    given = record.get(name)
    if given is None:
        return ""
    if not isinstance(given, str):
        raise _invalid(name, "a string", given)
    return given


def _hex(record: dict[str, Any], name: str) -> bytes:
    try:
        return binascii.unhexlify(_text(record, name))
    except ValueError:
        raise _invalid(name, "hexadecimal digits", record[name]) from None


def _unsigned(record: dict[str, Any], name: str, bits: int) -> int:
    given = record.get(name)
    return 0 if given is None else _integer(name, given, 0, (1 << bits) - 1)


def _integer(field: str, given: object, least: int, most: int) -> int:
    # As text, for JavaScript's numbers cannot hold 64 bits; a number is taken as well.
    number = given
    if isinstance(given, str):
        digits = given.removeprefix("-")
        number = int(given) if len(digits) <= 20 and digits.isascii() and digits.isdigit() else None
    elif isinstance(given, float) and given.is_integer():
        number = int(given)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise _invalid(field, f"an integer of {most.bit_length()} bits", given)
    return number


def _double(field: str, given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool):
        try:
            return float(given)
        except OverflowError:
            raise _invalid(field, "a double", "an integer past it") from None
    if isinstance(given, str) and given in _NOT_FINITE:
        return float(given)
    raise _invalid(field, "a number", given)


def _bytes(field: str, given: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except ValueError:
        raise _invalid(field, "base64", given) from None


def _invalid(field: str, expected: str, got: object) -> InvalidEvent:
    return InvalidEvent(field, expected, f"{type(got).__name__} {reprlib.repr(got)[:60]}")
