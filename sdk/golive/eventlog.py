"""Business event logs: CSV and JSON Lines, plain or gzip, read line by line into KPI events.

    | column | |
    | --- | --- |
    | domain, metric, occurred_at | required, in the file or as constants |
    | success | true, false, 1, 0, yes, no; empty: none |
    | value, duration_ms | a finite number; empty: none |
    | actor, correlation_id, trace_id, span_id | text; empty: none |
    | detail | JSON, else taken as a plain string |

An event's identity comes from the source's name, its line and its content, so that reading a log again gives
the same events: an import that was stopped, or a log that has grown, adds only what is missing.
"""

import csv
import datetime as dt
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from golive import _csv_rows
from golive.detail import to_json_text
from golive.errors import ConfigurationError, InvalidEvent
from golive.events import KpiEvent, check_actor, check_correlation_id, check_domain, check_metric, check_value
from golive.ids import id_at
from golive.instants import microseconds

__all__ = ["BadLine", "EventLog"]

FIELDS = (
    "domain", "metric", "success", "value", "actor", "correlation_id", "detail", "occurred_at",
    "duration_ms", "trace_id", "span_id",
)  # fmt: skip
REQUIRED = ("domain", "metric", "occurred_at")

_SUCCESS = {
    "": None, "null": None, "none": None, "true": True, "1": True, "yes": True, "t": True,
    "false": False, "0": False, "no": False, "f": False,
}  # fmt: skip
_HEX = {"trace_id": re.compile(r"[0-9a-f]{32}"), "span_id": re.compile(r"[0-9a-f]{16}")}
_BOM = b"\xef\xbb\xbf"
_63_BITS = (1 << 63) - 1
_UNDECODED = re.compile("[\udc80-\udcff]")
_EARLIEST, _LATEST = dt.datetime(1970, 1, 2, tzinfo=dt.UTC), dt.datetime(2248, 1, 1, tzinfo=dt.UTC)


class BadLine(NamedTuple):
    """A line that is no event: its number, its text, and what is wrong with it."""

    number: int
    raw: str
    reason: str


class _Line(NamedTuple):
    """A line's cells in the order of `FIELDS`; `raw` is its text, `problem` what keeps it from being read."""

    number: int
    raw: str
    cells: Sequence[Any]
    problem: str | None = None


@dataclass
class EventLog:
    """A log to be read.

    Args:
        path: The file; `.gz` and JSON Lines are told by their content.
        columns: Which column of the file a field is taken from, where the names differ.
        constants: Fields that have one value for the whole log.
        source: The log's name in its events' identity; by default the file's base name.

    Raises:
        ConfigurationError: A mapping names no field, or a required field has no column; from `lines()`.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    _raw: BinaryIO | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name in (*self.columns, *self.constants):
            if name not in FIELDS:
                raise ConfigurationError(f"{name!r} is no field of an event; they are {', '.join(FIELDS)}")
        digest = hashlib.sha256((self.source or self.path.name).encode()).digest()
        self._emitter = int.from_bytes(digest[:8]) >> 1

    def lines(self) -> Iterator[KpiEvent | BadLine]:
        """Yield every line but empty ones, as an event or with what is wrong with it."""
        with self._open() as file:
            first = file.peek(1).removeprefix(_BOM).lstrip()[:1]  # type: ignore[attr-defined]
            for line in self._json_lines(file) if first == b"{" else self._csv_lines(file):
                if line.problem is not None:
                    yield BadLine(line.number, line.raw, line.problem)
                    continue
                try:
                    yield self._event(line)
                except ValueError as error:
                    yield BadLine(line.number, line.raw, str(error))

    def bytes_read(self) -> int:
        """Return how much of the file has been read, in bytes as they are on the disk."""
        if self._raw is None:
            return 0
        return self.path.stat().st_size if self._raw.closed else self._raw.tell()

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as raw:
                self._raw = raw
                if raw.peek(2)[:2] == b"\x1f\x8b":
                    with gzip.open(raw) as unpacked:
                        yield io.BufferedReader(unpacked)
                else:
                    yield raw
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigurationError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from error

    def _json_lines(self, file: BinaryIO) -> Iterator[_Line]:
        columns = [self.columns.get(name, name) for name in FIELDS]
        constants = [self.constants.get(name) for name in FIELDS]
        for number, line in enumerate(_csv_rows.bounded(file.readline, b"\n"), 1):
            if not line.strip():
                continue
            if len(line) > _csv_rows.MAX_LINE:
                raw = line[: _csv_rows.MAX_LINE].decode(errors="backslashreplace")
                yield _Line(number, raw, (), f"longer than {_csv_rows.MAX_LINE} bytes")
                continue
            try:
                raw = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                found = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raw = line.decode(errors="backslashreplace").rstrip("\r\n")
                yield _Line(number, raw, (), f"no JSON: {error}")
                continue
            if isinstance(found, dict):
                pairs = zip(columns, constants, strict=True)
                yield _Line(number, raw, [found.get(c) if fixed is None else fixed for c, fixed in pairs])
            else:
                yield _Line(number, raw, (), "expected a JSON object")

    def _csv_lines(self, file: BinaryIO) -> Iterator[_Line]:
        with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
            rows = _csv_rows.CsvRows(_csv_rows.bounded(text.readline, "\r\n"))
            try:
                header = rows.header()
            except csv.Error as error:
                raise ConfigurationError(f"{self.path.name} is no CSV: {error}") from error
            self._check_header(header)
            blank = [self.constants.get(name) for name in FIELDS]
            places = [
                (place, header.index(column))
                for place, name in enumerate(FIELDS)
                if name not in self.constants and (column := self.columns.get(name, name)) in header
            ]
            width = len(header)
            for number, raw, row in rows:
                if isinstance(row, str):
                    yield _Line(number, raw, (), row)
                elif len(row) != width:
                    yield _Line(number, raw, (), f"expected {width} columns, got {len(row)}")
                elif not raw.isascii() and _UNDECODED.search(raw):
                    yield _Line(number, _readable(raw), (), "not UTF-8")
                else:
                    cells = blank.copy()
                    for place, index in places:
                        cells[place] = row[index]
                    yield _Line(number, raw, cells)

    def _check_header(self, header: list[str]) -> None:
        for name in REQUIRED:
            column = self.columns.get(name, name)
            if name not in self.constants and column not in header:
                raise ConfigurationError(
                    f"{self.path.name} has no column {column!r} for {name}: map another one to it, or set a "
                    f"constant. It has {', '.join(header)[:200] or 'none'}"
                )
        for name, column in self.columns.items():
            if column not in header:
                raise ConfigurationError(f"{self.path.name} has no column {column!r}, mapped to {name}")
        for name in FIELDS:
            if name not in self.constants and header.count(column := self.columns.get(name, name)) > 1:
                raise ConfigurationError(f"{self.path.name} has several columns {column!r}")

    def _event(self, line: _Line) -> KpiEvent:
        domain, metric, success, value, actor, correlation_id, detail, at, duration_ms, trace_id, span_id = (
            line.cells
        )
        created_ns = _time(at)
        # A checksum of content, place and source: low bits of an id need to differ, not to be secret.
        seed = (line.number * 0x9E3779B1 ^ self._emitter) & 0xFFFFFFFF
        low_bits = zlib.crc32(line.raw.encode("utf-8", "replace"), seed)
        return KpiEvent(
            id_at(created_ns // 1_000_000, low_bits),
            # The line's own: equal lines of one moment are several events, also where their ids meet.
            (self._emitter + line.number) & _63_BITS,
            _checked(check_domain, domain),
            _checked(check_metric, metric),
            _success(success),
            _number("value", value),
            _checked(check_actor, actor),
            _checked(check_correlation_id, correlation_id),
            _detail(detail),
            _hex("trace_id", trace_id),
            _hex("span_id", span_id),
            True,
            _number("duration_ms", duration_ms),
            created_ns,
        )


def _readable(raw: str) -> str:
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_Checked = TypeVar("_Checked", str, str | None)
_known: dict[Any, Any] = {}
_KNOWN_MAX = 50_000


def _checked(check: Callable[[object], _Checked], text: Any) -> _Checked:
    """Return what `check` makes of a text, asked once for all the lines that have it."""
    if text.__class__ is not str:
        return check(text)
    try:
        known: _Checked = _known[check, text]
    except KeyError:
        known = check(text)
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[check, text] = known
    return known


def _success(cell: Any) -> bool | None:
    if cell is None or isinstance(cell, bool):
        return cell
    try:
        return _SUCCESS[cell if cell in _SUCCESS else str(cell).strip().lower()]
    except (KeyError, TypeError):
        raise InvalidEvent("success", "true, false or nothing", ascii(cell)[:60]) from None


def _number(name: str, cell: Any) -> float | None:
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        try:
            cell = float(cell)
        except ValueError:
            raise InvalidEvent(name, "a number", ascii(cell)[:60]) from None
    try:
        return check_value(cell)
    except InvalidEvent as error:
        raise InvalidEvent(name, error.expected, ascii(cell)[:60]) from None


def _hex(name: str, cell: Any) -> str | None:
    if not cell:
        return None
    if not isinstance(cell, str) or not _HEX[name].fullmatch(cell):
        raise InvalidEvent(name, "lower-case hexadecimal digits", ascii(cell)[:60])
    return cell


def _time(cell: Any) -> int:
    """Return Unix nanoseconds of an ISO 8601 time, UTC where it has no offset."""
    if not isinstance(cell, str) or not cell:
        raise InvalidEvent("occurred_at", "an ISO 8601 time", ascii(cell)[:60])
    try:
        moment = dt.datetime.fromisoformat(cell.strip())
    except ValueError:
        raise InvalidEvent("occurred_at", "an ISO 8601 time", ascii(cell)[:60]) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    if not _EARLIEST <= moment < _LATEST:
        raise InvalidEvent("occurred_at", "a time from 1970 to 2247", ascii(cell)[:60])
    return microseconds(moment) * 1_000


def _detail(cell: Any) -> str | None:
    if cell is None or cell == "":
        return None
    return _detail_text(cell) if isinstance(cell, str) else to_json_text(cell)


@lru_cache(maxsize=4096)
def _detail_text(text: str) -> str | None:
    try:
        return to_json_text(json.loads(text))
    except (ValueError, RecursionError):
        return to_json_text(text)
