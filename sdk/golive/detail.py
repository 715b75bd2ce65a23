"""`detail`: whatever the caller passes becomes bounded, redacted JSON text, and never an exception (E6, E8).

| given | stored |
| --- | --- |
| None | null |
| str | the same string |
| dict, list, tuple, set, dataclass | object or array; keys become strings, sets are sorted |
| datetime, date, time, UUID, Path, Decimal | its text; `timedelta` its seconds |
| Enum | its value |
| bytes | its text as UTF-8 |
| NaN, infinity | "NaN", "Infinity", "-Infinity" |
| NUL, lone surrogates in text | U+FFFD |
| a cycle, nesting below 32 levels | "[cycle]", "[too deep]" |
| anything else | its `repr`, at most 500 characters |
| more than the limit (64 KiB of JSON) | {"truncated": true, "limit_bytes": …, "preview": …} |
"""

import dataclasses
import datetime as dt
import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from golive.redaction import REDACTED, is_secret_key, redact_text
from golive.settings import Settings

_log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = Settings().detail_max_bytes
MAX_DEPTH = 32
_REPR_MAX = 500
_PREVIEW_MAX = 1000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL has no NUL in text, UTF-8 no surrogates

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class _TooLong(Exception):
    pass


def to_json_text(detail: object, max_bytes: int = DEFAULT_MAX_BYTES) -> str | None:
    """Return `detail` as ASCII JSON text of at most `max_bytes`; None for None. Never raises."""
    if detail is None:
        return None
    try:
        return _bounded(detail, max_bytes)
    except Exception as error:  # a hostile __repr__ or __iter__ must not reach the business
        return _encode(unstorable(detail, error))


def unstorable(detail: object, error: Exception) -> dict[str, str]:
    """Return what is stored of a detail that raised an error while it was read; log that."""
    _log.warning("a KPI event's detail could not be stored: %s in %s", type(error).__name__, type(detail))
    return {"unstorable": type(detail).__name__, "error": type(error).__name__}


def _bounded(detail: object, max_bytes: int) -> str:
    try:
        text = _encode(_Converter(max_bytes).convert(detail, 0))
        if len(text) <= max_bytes:
            return text
    except _TooLong:
        pass
    return _encode({"truncated": True, "limit_bytes": max_bytes, "preview": _preview(detail, max_bytes)})


def _preview(detail: object, max_bytes: int) -> Any:
    length = min(_PREVIEW_MAX, max_bytes // 8)
    if isinstance(detail, str):
        return _cut(detail, length)
    if isinstance(detail, Mapping):
        return [_cut(str(key), 64) for key in list(detail)[: length // 64]]
    return type(detail).__name__


def _cut(text: str, length: int) -> str:
    """Return the beginning of a text, without secrets, nor one whose end tells that it is one."""
    return redact_text(_clean(text[: 2 * length]))[:length]


class _Converter:
    """Converts one detail; gives up as soon as the text it has seen is over the limit."""

    def __init__(self, max_bytes: int) -> None:
        self._room = max_bytes
        self._open: set[int] = set()

    def convert(self, value: object, depth: int) -> Any:
        self._take(2)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value.value if isinstance(value, Enum) else value)
        if isinstance(value, int | float) and not isinstance(value, Enum):
            return self._number(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset) or _is_dataclass_instance(value):
            return self._container(value, depth)
        return self._scalar(value, depth)

    def _take(self, length: int) -> None:
        self._room -= length
        if self._room < 0:
            raise _TooLong

    def _text(self, text: str) -> str:
        self._take(len(text))
        return redact_text(_clean(text))

    def _number(self, number: float) -> int | float | str:
        if isinstance(number, int):
            # Text past 4,300 digits cannot be made at all; past 64 bits readers lose digits.
            return (
                int(number)
                if abs(number) < 1 << 63
                else f"{float(number):.17g}"
                if abs(number) < 1 << 1000
                else "Infinity"
            )
        if math.isfinite(number):
            return float(number)
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"

    def _container(self, value: Any, depth: int) -> Any:
        if id(value) in self._open:
            return "[cycle]"
        if depth >= MAX_DEPTH:
            return "[too deep]"
        self._open.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._object(value.items(), depth)
            if isinstance(value, list | tuple):
                return [self.convert(item, depth + 1) for item in value]
            if isinstance(value, set | frozenset):
                return sorted((self.convert(item, depth + 1) for item in value), key=_encode)
            return self._object(((f.name, getattr(value, f.name)) for f in dataclasses.fields(value)), depth)
        finally:
            self._open.discard(id(value))

    def _object(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in items:
            name = key if isinstance(key, str) else _clean(str(key))
            self._take(len(name) + 2)
            result[_clean(name)] = REDACTED if is_secret_key(name) else self.convert(item, depth + 1)
        return result

    def _scalar(self, value: object, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, dt.datetime | dt.date | dt.time):
            return value.isoformat()
        if isinstance(value, dt.timedelta):
            return value.total_seconds()
        if isinstance(value, Decimal | UUID | PurePath):
            return self._text(str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            self._take(len(value))
            return self._text(bytes(value).decode("utf-8", "replace"))
        return self._text(repr(value)[:_REPR_MAX])


def _is_dataclass_instance(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _clean(text: str) -> str:
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub("\ufffd", text)
