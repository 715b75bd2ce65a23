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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from golive.detail import to_json_text
from golive.errors import ConfigurationError, InvalidEvent
from golive.events import KpiEvent, check_actor, check_correlation_id, check_domain, check_metric, check_value
from golive.ids import id_at

__all__ = ["BadLine", "EventLog", "LogLine"]

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
_UNDECODED = re.compile("[\udc80-\udcff]")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EARLIEST, _LATEST = dt.datetime(1970, 1, 2, tzinfo=dt.UTC), dt.datetime(2248, 1, 1, tzinfo=dt.UTC)


class LogLine(NamedTuple):
    """A line that is an event."""

    number: int
    event: KpiEvent


class BadLine(NamedTuple):
    """A line that is no event: its number, its text, and what is wrong with it."""

    number: int
    raw: str
    reason: str


class _Cells(NamedTuple):
    """A line's cells by column name; `raw` is its text, `problem` what keeps it from being read."""

    number: int
    raw: str
    cells: Mapping[str, Any]
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
    bytes_read: Callable[[], int] = field(default=lambda: 0, init=False)

    def __post_init__(self) -> None:
        for name in (*self.columns, *self.constants):
            if name not in FIELDS:
                raise ConfigurationError(f"{name!r} is no field of an event; they are {', '.join(FIELDS)}")
        digest = hashlib.sha256((self.source or self.path.name).encode()).digest()
        self._emitter = int.from_bytes(digest[:8]) >> 1

    def lines(self) -> Iterator[LogLine | BadLine]:
        """Yield every line but empty ones, as an event or with what is wrong with it."""
        with self._open() as file:
            first = file.peek(1).lstrip()[:1]  # type: ignore[attr-defined]
            for cells in self._json_lines(file) if first == b"{" else self._csv_lines(file):
                yield self._parsed(cells)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as raw:
                self.bytes_read = raw.tell
                if raw.peek(2)[:2] == b"\x1f\x8b":
                    with gzip.open(raw) as unpacked:
                        yield io.BufferedReader(unpacked)
                else:
                    yield raw
        except (OSError, EOFError) as error:
            raise ConfigurationError(f"{self.path}: {getattr(error, 'strerror', None) or error}") from error

    def _json_lines(self, file: BinaryIO) -> Iterator[_Cells]:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                text = line.decode().rstrip("\r\n")
                cells = json.loads(text)
            except ValueError as error:
                yield _Cells(
                    number, line.decode(errors="backslashreplace").rstrip("\r\n"), {}, f"no JSON: {error}"
                )
                continue
            problem = None if isinstance(cells, dict) else "expected a JSON object"
            yield _Cells(number, text, cells if problem is None else {}, problem)

    def _csv_lines(self, file: BinaryIO) -> Iterator[_Cells]:
        with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
            rows = _CsvRows(text)
            header = rows.header()
            self._check_header(header)
            for number, raw, row in rows:
                if isinstance(row, str):
                    yield _Cells(number, raw, {}, row)
                elif len(row) != len(header):
                    yield _Cells(number, raw, {}, f"expected {len(header)} columns, got {len(row)}")
                elif not raw.isascii() and _UNDECODED.search(raw):
                    yield _Cells(number, _readable(raw), {}, "not UTF-8")
                else:
                    yield _Cells(number, raw, dict(zip(header, row, strict=True)))

    def _check_header(self, header: list[str]) -> None:
        for name in REQUIRED:
            column = self.columns.get(name, name)
            if name not in self.constants and column not in header:
                raise ConfigurationError(
                    f"{self.path.name} has no column {column!r} for {name}: map another one to it, or set a "
                    f"constant. It has {', '.join(header) or 'none'}"
                )
        for name, column in self.columns.items():
            if column not in header:
                raise ConfigurationError(f"{self.path.name} has no column {column!r}, mapped to {name}")

    def _parsed(self, line: _Cells) -> LogLine | BadLine:
        if line.problem is not None:
            return BadLine(line.number, line.raw, line.problem)
        try:
            return LogLine(line.number, self._event(line))
        except (InvalidEvent, ValueError) as error:
            return BadLine(line.number, line.raw, str(error))

    def _event(self, line: _Cells) -> KpiEvent:
        def cell(name: str) -> Any:
            if name in self.constants:
                return self.constants[name]
            return line.cells.get(self.columns.get(name, name))

        occurred = _time(cell("occurred_at"))
        identity = f"{self._emitter}\0{line.number}\0{line.raw}".encode("utf-8", "replace")
        digest = hashlib.blake2b(identity, digest_size=4).digest()
        return KpiEvent(
            id_at(occurred // 1_000_000, int.from_bytes(digest)),
            self._emitter,
            _checked(check_domain, cell("domain")),
            _checked(check_metric, cell("metric")),
            _success(cell("success")),
            _number("value", cell("value")),
            check_actor(cell("actor")),
            check_correlation_id(cell("correlation_id")),
            _detail(cell("detail")),
            _hex("trace_id", cell("trace_id")),
            _hex("span_id", cell("span_id")),
            True,
            _number("duration_ms", cell("duration_ms")),
            occurred,
        )


class _CsvRows:
    """CSV rows with the text they were read from, which may be several lines; an error costs its row only."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._read: list[str] = []
        self._lines = 0

    def header(self) -> list[str]:
        """Return the first row; empty if there is none."""
        return next(csv.reader(self._noted(), strict=True), [])

    def __iter__(self) -> Iterator[tuple[int, str, list[str] | str]]:
        """Yield the number of a row's first line, its text, and its cells or what is wrong with it."""
        rows = csv.reader(self._noted(), strict=True)
        while True:
            self._read.clear()
            number = self._lines + 1
            row: list[str] | str
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                row = f"no CSV: {error}"
                rows = csv.reader(self._noted(), strict=True)  # the old one is still inside the broken row
            if row:
                yield number, "".join(self._read).rstrip("\r\n"), row

    def _noted(self) -> Iterator[str]:
        for line in self._text:
            self._lines += 1
            self._read.append(line)
            yield line


def _readable(raw: str) -> str:
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_known: dict[tuple[Callable[[object], str], str], str] = {}


def _checked(check: Callable[[object], str], text: Any) -> str:
    if text.__class__ is not str:
        return check(text)
    known = _known.get((check, text))
    if known is None:
        known = check(text)
        if len(_known) < 10_000:
            _known[check, text] = known
    return known


def _success(cell: Any) -> bool | None:
    if cell is None or isinstance(cell, bool):
        return cell
    try:
        return _SUCCESS[str(cell).strip().lower()]
    except KeyError:
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
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _detail(cell: Any) -> str | None:
    if cell is None or cell == "":
        return None
    return _detail_text(cell) if isinstance(cell, str) else to_json_text(cell)


@lru_cache(maxsize=4096)
def _detail_text(text: str) -> str | None:
    try:
        return to_json_text(json.loads(text))
    except ValueError:
        return to_json_text(text)
