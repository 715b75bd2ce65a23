"""The records of accounts, as the files of `golive.shared_account` have them, and how they add up (E2)."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from golive import names
from golive.account import Series
from golive.cells import CELL, Key
from golive.shared_account import BACKLOG, DURATIONS, EVENTS, INTENT, TX, VALUES

Records = dict[Key, list[bytes]]
"""What a file has: the cells of each record."""

RETIRED: Final = "retired"
"""The file of what ended processes had counted."""
MERGED: Final = "merged"
"""Kind of the records that name processes whose account is in `retired`, while their own file is there."""


def content(file: Path) -> bytes:
    """Return what a file of records has; nothing if it is not there."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def merge(total: Records, more: Iterable[tuple[Key, list[bytes]]]) -> None:
    """Add records to a total."""
    for key, cells in more:
        known = total.get(key)
        if known is None or len(known) != len(cells):
            total[key] = list(cells)
        elif key[0] == EVENTS:
            newest = max(known, cells, key=lambda record: mark_of(record[2]))
            total[key] = [_sum(known[0], cells[0]), *newest[1:]]
        elif key[0] == VALUES:
            last = max(known[2], cells[2], key=mark_of)
            total[key] = [_sum(known[0], cells[0]), _sum(known[1], cells[1]), last]
        elif key[0] == BACKLOG:
            total[key] = [_backlog(known[0], cells[0])]
        else:
            total[key] = [_sum(one, other) for one, other in zip(known, cells, strict=True)]


def of_both_ways(records: Records) -> Iterator[tuple[Key, list[bytes]]]:
    """Yield what was counted, whether a spool or a transaction carried it."""
    for (kind, *labels), cells in records.items():
        if kind != INTENT:
            yield (kind.removeprefix(TX), *labels), cells


def within(records: Mapping[Key, list[bytes]], max_series: int) -> Records:
    """Return the records with no more than so many (domain, metric) pairs, the first ones."""
    kept: Records = {}
    pairs: set[Series] = set()
    for key, cells in records.items():
        if key[0] in (EVENTS, VALUES, DURATIONS):
            pair = (key[1], key[2])
            if pair not in pairs and len(pairs) >= max_series:
                key = (key[0], names.OVERFLOW, names.OVERFLOW, *key[3:])
            elif names.OVERFLOW not in pair:
                pairs.add(pair)
        merge(kept, [(key, cells)])
    return kept


def mark_of(cell: bytes) -> int:
    """Return the number beside a cell's value: a position, or a time."""
    return int(CELL.unpack(cell)[1])


def _sum(one: bytes, other: bytes) -> bytes:
    value, mark = CELL.unpack(one)
    other_value, other_mark = CELL.unpack(other)
    return CELL.pack(value + other_value, max(mark, other_mark))


def _backlog(one: bytes, other: bytes) -> bytes:
    waiting, oldest = CELL.unpack(one)
    other_waiting, other_oldest = CELL.unpack(other)
    return CELL.pack(waiting + other_waiting, min(filter(None, (oldest, other_oldest)), default=0))
