"""The importer on any log: never a crash, every line an event or a rejected line, and each its own."""

import contextlib
import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golive import _csv_rows
from golive.errors import ConfigurationError
from golive.eventlog import BadLine, EventLog
from golive.events import KpiEvent, check_event, from_json, to_json
from tests.support.fuzzing import fuzzed

COLUMNS = ("domain", "metric", "success", "value", "actor", "correlation_id", "detail", "occurred_at")
HEADER = ",".join(COLUMNS) + "\n"
AT = "2026-01-02T03:04:05Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELL = st.one_of(
    TEXT,
    st.sampled_from(["", "true", "0", "1e999", "nan", "-0", AT, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
                     "W", "x" * 70, "\x00", '"', "{}", "[" * 2000, "9" * 5000, "\x1b[2J", "\u202e", "=cmd()"]),
)  # fmt: skip
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ROW = st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, VALUE))
PIECE = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "x", ' "', f"W,sent,true,,,,,{AT}", "\x00", "é", "\ufeff"]
)


def read(content: bytes, **options: Any) -> list[KpiEvent | BadLine]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        file.write_bytes(content)
        return list(EventLog(file, **options).lines())


def check(found: list[KpiEvent | BadLine]) -> None:
    """Fail unless the events are ones the helpers could have made, and the rest is told of as text."""
    for line in found:
        if isinstance(line, KpiEvent):
            check_event(line)
            assert from_json(to_json(line)) == line
        else:
            json.dumps(line._asdict())
            assert line.reason
    assert len({(line.id, line.emitter) for line in found if isinstance(line, KpiEvent)}) == sum(
        isinstance(line, KpiEvent) for line in found
    )


@fuzzed
@given(st.lists(ROW | VALUE, min_size=1, max_size=8))
def test_a_line_of_json_is_one_event_or_one_rejected_line(rows: list[Any]) -> None:
    first = {"domain": "W", "metric": "sent", "occurred_at": AT}
    content = "".join(json.dumps(row) + "\n" for row in [first, *rows]).encode()
    found = read(content)
    check(found)
    assert len(found) == len(rows) + 1
    assert isinstance(found[0], KpiEvent)
    assert read(gzip.compress(content)) == found


@fuzzed
@given(st.lists(st.lists(CELL, min_size=8, max_size=8), max_size=8))
def test_a_row_of_csv_is_one_event_or_one_rejected_row(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    found = read((HEADER + text.getvalue()).encode())
    check(found)
    assert len(found) >= len([row for row in rows if any(row)])


@fuzzed
@given(st.lists(PIECE, max_size=40).map("".join))
@example('x","\n' * 10)
def test_quotes_and_ends_of_lines_anywhere_take_no_good_line_along(text: str) -> None:
    good = f"W,sent,true,,,,,{AT}\n"
    found = read((HEADER + good + text.replace('"', "") + "\n" + good).encode())
    check(found)
    assert isinstance(found[0], KpiEvent)
    assert isinstance(found[-1], KpiEvent)
    check(read((HEADER + text).encode()))


@fuzzed
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_log_or_no_log(content: bytes, packed: bool) -> None:
    for begin in (b"", b"{", HEADER.encode(), b"\x1f\x8b"):
        whole = gzip.compress(begin + content)[: -1 if not packed else None] if packed else begin + content
        with contextlib.suppress(ConfigurationError):
            check(read(whole))


@pytest.mark.parametrize("begin", [HEADER.encode(), b'{"a": 1}\n', b""])
def test_a_line_without_an_end_is_rejected_in_bounded_memory(
    begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a few packed kilobytes hold one."""
    monkeypatch.setattr(_csv_rows, "MAX_LINE", 1000)
    good = {"domain": "W", "metric": "sent", "occurred_at": AT}
    after = json.dumps(good).encode() if begin[:1] == b"{" else f"W,sent,true,,,,,{AT}".encode()
    content = begin + b"x" * 5000 + b"\n" + after + b"\n"
    if not begin:
        with pytest.raises(ConfigurationError, match="a line is longer"):
            read(gzip.compress(content))
        return
    found = read(gzip.compress(content))
    assert isinstance(found[-1], KpiEvent), "the next line is lost"
    long = [line for line in found if isinstance(line, BadLine) and "1000" in line.reason]
    assert len(long) == 1
    assert len(long[0].raw) <= 1000


@pytest.mark.parametrize("period", [0, 500, 900])
def test_quotes_that_close_late_or_nowhere_cost_time_that_grows_with_the_log(period: int) -> None:
    """Each line would begin a row that reaches to the end of the log, or far."""
    lines = 20_000
    text = "".join('x"\n' if period and not i % period else 'x","\n' for i in range(lines))
    found = read((HEADER + text + f'"\nW,sent,true,,,,,{AT}\n').encode())
    assert [line for line in found if isinstance(line, KpiEvent)] == found[-1:]
