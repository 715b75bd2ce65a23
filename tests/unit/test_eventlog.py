import gzip
import json
from pathlib import Path

import pytest

from golive.errors import ConfigurationError
from golive.eventlog import BadLine, EventLog
from golive.events import KpiEvent

HEADER = "correlation_id,domain,metric,success,value,actor,occurred_at,detail\n"
GOOD = 'deal_1,W,sent,true,,broker,2026-01-02T03:04:05.678Z,"{""a"": 1}"\n'


def read(path: Path, text: str | bytes, **options: object) -> list[KpiEvent | BadLine]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(EventLog(path, **options).lines())  # type: ignore[arg-type]


def event(line: KpiEvent | BadLine) -> KpiEvent:
    assert isinstance(line, KpiEvent), line
    return line


def test_a_csv_line_becomes_an_event(tmp_path: Path) -> None:
    found = event(read(tmp_path / "log.csv", HEADER + GOOD)[0])
    assert (found.domain, found.metric, found.success, found.value) == ("W", "sent", True, None)
    assert (found.actor, found.correlation_id, found.detail) == ("broker", "deal_1", '{"a":1}')
    assert found.created_ns == 1_767_323_045_678_000_000


def test_gzip_and_json_lines_are_told_by_their_content(tmp_path: Path) -> None:
    plain = event(read(tmp_path / "log", HEADER + GOOD)[0])
    packed = event(read(tmp_path / "log", gzip.compress((HEADER + GOOD).encode()))[0])
    cells = {"correlation_id": "deal_1", "domain": "W", "metric": "sent", "success": True, "actor": "broker",
             "occurred_at": "2026-01-02T03:04:05.678+00:00", "detail": {"a": 1}}  # fmt: skip
    by_json = event(read(tmp_path / "log", json.dumps(cells) + "\n")[0])
    assert plain == packed
    assert plain[2:] == by_json[2:]


def test_columns_can_be_mapped_and_fields_set(tmp_path: Path) -> None:
    text = "Area;x\n".replace(";", ",") + "2026-01-01,sent\n"
    (line,) = read(
        tmp_path / "log.csv",
        text,
        columns={"occurred_at": "Area", "metric": "x"},
        constants={"domain": "W", "success": "no"},
    )
    assert (event(line).domain, event(line).metric, event(line).success) == ("W", "sent", False)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,,sent,true,,x,2026-01-01,\n", "domain: "),
        ("a,W,sent,maybe,,x,2026-01-01,\n", "success: "),
        ("a,W,sent,,nan,x,2026-01-01,\n", "value: "),
        ("a,W,sent,,ten,x,2026-01-01,\n", "value: "),
        ("a,W,sent,true,,x,yesterday,\n", "occurred_at: "),
        ("a,W,sent,true,,x,,\n", "occurred_at: "),
        ("a,W,sent,true,,x,1969-01-01,\n", "occurred_at: "),
        (f"a,{'D' * 33},sent,true,,x,2026-01-01,\n", "domain: "),
        (f"{'c' * 129},W,sent,true,,x,2026-01-01,\n", "correlation_id: "),
        ("a,W,sent\n", "expected 8 columns, got 3"),
        ('a,W,"sent"x,true,,x,2026-01-01,\n', "no CSV: "),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_takes_no_other_along(
    tmp_path: Path, line: str, reason: str
) -> None:
    first, second, third = read(tmp_path / "log.csv", HEADER + GOOD + line + GOOD)
    assert isinstance(second, BadLine)
    assert second.reason.startswith(reason)
    assert second.raw == line.rstrip("\n")
    assert second.number == 3
    assert isinstance(first, KpiEvent)
    assert isinstance(third, KpiEvent)


def test_bytes_that_are_no_utf8_make_their_line_bad(tmp_path: Path) -> None:
    lines = read(
        tmp_path / "log.csv",
        HEADER.encode() + GOOD.encode() + b"a,W,\xff,true,,x,2026-01-01,\n" + GOOD.encode(),
    )
    assert [type(line) for line in lines] == [KpiEvent, BadLine, KpiEvent]
    assert isinstance(lines[1], BadLine)
    assert lines[1].reason == "not UTF-8"


def test_numbers_count_lines_of_the_file_over_quoted_line_ends(tmp_path: Path) -> None:
    quoted = 'a,W,sent,true,,x,2026-01-01,"two\nlines"\n'
    found = read(tmp_path / "log.csv", HEADER + quoted + "bad\n" + GOOD)
    assert [line.number for line in found if isinstance(line, BadLine)] == [4]
    assert event(found[0]).detail == '"two\\nlines"'


def test_json_lines_that_are_none_are_bad(tmp_path: Path) -> None:
    good = '{"domain": "W", "metric": "m", "occurred_at": "2026-01-01"}\n'
    found = read(tmp_path / "log.jsonl", good + "{broken\n[]\n\n" + good)
    assert [type(line) for line in found] == [KpiEvent, BadLine, BadLine, KpiEvent]
    assert [line.number for line in found if isinstance(line, BadLine)] == [2, 3]


def test_a_missing_column_is_one_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no column 'occurred_at'"):
        read(tmp_path / "log.csv", "domain,metric\nW,sent\n")
    with pytest.raises(ConfigurationError, match="'colour' is no field"):
        EventLog(tmp_path / "log.csv", constants={"colour": "red"})
    with pytest.raises(ConfigurationError, match="No such file"):
        list(EventLog(tmp_path / "absent.csv").lines())
    with pytest.raises(ConfigurationError, match="ended before"):
        read(tmp_path / "log.csv.gz", gzip.compress((HEADER + GOOD * 100).encode())[:-20])


def test_an_events_identity_is_its_sources_name_line_and_content(tmp_path: Path) -> None:
    first = [event(line) for line in read(tmp_path / "log.csv", HEADER + GOOD + GOOD)]
    again = [event(line) for line in read(tmp_path / "log.csv", HEADER + GOOD + GOOD + GOOD)]
    renamed = [event(line) for line in read(tmp_path / "other.csv", HEADER + GOOD + GOOD)]
    sourced = [event(line) for line in read(tmp_path / "other.csv", HEADER + GOOD + GOOD, source="log.csv")]
    assert first == again[:2] == sourced
    assert len({e.id for e in again}) == 3
    assert not {e.id for e in first} & {e.id for e in renamed}


def test_equal_lines_of_one_moment_are_several_events(tmp_path: Path) -> None:
    found = [event(line) for line in read(tmp_path / "log.csv", HEADER + GOOD * 5_000)]
    assert len({(e.id, e.emitter) for e in found}) == 5_000
    assert found == [event(line) for line in read(tmp_path / "log.csv", HEADER + GOOD * 5_000)]


def test_a_stray_quote_takes_no_good_lines_along(tmp_path: Path) -> None:
    stray = 'a,W,sent,true,,x,2026-01-01,"open\n'
    for rest in (GOOD * 3, GOOD.replace('"{""a"": 1}"', "") * 3, 'a,W,sent,true,,x,2026-01-01,"closed"\n'):
        first, *others = read(tmp_path / "log.csv", HEADER + stray + rest)
        assert isinstance(first, BadLine)
        assert (first.number, first.raw) == (2, stray.rstrip("\n"))
        assert all(isinstance(line, KpiEvent) for line in others)
        assert len(others) == rest.count("\n")
    many = read(tmp_path / "log.csv", HEADER + (stray + GOOD) * 2_000)
    assert [line.number for line in many if isinstance(line, BadLine)] == list(range(2, 4_002, 2))


def test_json_nested_past_the_parser_costs_its_line_only(tmp_path: Path) -> None:
    good = '{"domain": "W", "metric": "m", "occurred_at": "2026-01-01"}\n'
    found = read(tmp_path / "log.jsonl", good + '{"detail": ' + "[" * 100_000 + "\n" + good)
    assert [type(line) for line in found] == [KpiEvent, BadLine, KpiEvent]
    (line,) = read(tmp_path / "log.csv", HEADER + f"a,W,sent,true,,x,2026-01-01,{'[' * 100_000}\n")
    assert event(line).detail


def test_a_byte_order_mark_is_no_part_of_the_log(tmp_path: Path) -> None:
    for text in (HEADER + GOOD, '{"domain": "W", "metric": "m", "occurred_at": "2026-01-01"}\n'):
        (line,) = read(tmp_path / "log", b"\xef\xbb\xbf" + text.encode())
        assert event(line).domain == "W"


def test_what_is_no_log_at_all_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no CSV"):
        read(tmp_path / "log", '"a"b\n')
    with pytest.raises(ConfigurationError, match="several columns 'domain'"):
        read(tmp_path / "log.csv", "domain,metric,occurred_at,domain\nA,m,2026-01-01,B\n")
    packed = bytearray(gzip.compress(b"".join(b"%d,W,m\n" % (n * 7919) for n in range(50_000))))
    packed[len(packed) // 2 : len(packed) // 2 + 60] = b"\xff" * 60
    with pytest.raises(ConfigurationError):
        read(tmp_path / "log.csv.gz", gzip.compress(HEADER.encode()) + bytes(packed))
