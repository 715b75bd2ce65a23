"""The account of a host: what all its processes counted for one store, the living and the ended ones (E2).

Counts never run backwards, whoever reads them: what an ended process had counted is added to `retired` before
its own file goes, and a reader that meets this half done reads again.
"""

import contextlib
import fcntl
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from golive import events, names
from golive.account import DURATION_BUCKETS_S, Series, bucket_of
from golive.cells import CELL, Key, decode_file, encode_file
from golive.events import KpiEvent
from golive.shared_account import (
    BACKLOG,
    DURATIONS,
    EVENTS,
    FILE,
    VALUES,
)

__all__ = ["Counted", "Durations", "Exemplar", "HostAccount", "read", "retire"]

_log = logging.getLogger(__name__)

_RETIRED: Final = "retired"
_MERGED: Final = "merged"
"""Kind of the records that name processes whose account is in `retired`, while their own file is there."""
_ATTEMPTS: Final = 20
_LOCK_WAIT_S: Final = 1.0
_NOTHING: Final = CELL.pack(0.0, 0)

Labels = tuple[str, str, str]
"""Domain, metric and outcome."""
_Records = dict[Key, list[bytes]]


class Exemplar(NamedTuple):
    """A recent event of a series, to be found by its trace."""

    trace_id: str
    seconds: float | None
    """How long it took, if it was a timed step."""
    at_s: float
    """When it was recorded, Unix time."""


class Durations(NamedTuple):
    """Durations of timed steps, in seconds."""

    buckets: list[int]
    """How many fell into each of `DURATION_BUCKETS_S`, and beyond the last; not cumulative."""
    total_s: float


class Counted(NamedTuple):
    """How often something happened, and when it last did, in Unix time."""

    times: int
    last_at_s: float


@dataclass
class HostAccount:
    """What the processes of a host counted for one store."""

    events: dict[Labels, int] = field(default_factory=dict)
    exemplars: dict[Labels, Exemplar] = field(default_factory=dict)
    value_sum: dict[Series, float] = field(default_factory=dict)
    value_last: dict[Series, float] = field(default_factory=dict)
    durations: dict[Labels, Durations] = field(default_factory=dict)
    discarded: dict[str, Counted] = field(default_factory=dict)
    exported: int = 0
    failures: Counted = field(default_factory=lambda: Counted(0, 0.0))
    """Deliveries to the store that failed, and were or will be tried again."""
    spool_events: int = 0
    spool_oldest_age_s: float = 0.0


def read(roots: Iterable[Path], max_series: int) -> HostAccount:
    """Return the account of a store.

    Args:
        roots: The folders of its spools; those that are missing are passed over.
        max_series: Bound on (domain, metric) pairs; further ones count under `__overflow__` (E7).
    """
    total: _Records = {}
    for root in roots:
        _merge(total, _read_root(root).items())
    return _typed(_within(total, max_series))


def retire(folder: Path, lines: Iterable[tuple[int, bytes]], max_series: int) -> bool:
    """Add what an ended process counted to what all ended ones did; return whether that could be done.

    Its lock must be the caller's.

    Args:
        folder: The process's spool folder.
        lines: The last lines of its spool, each with the position it ends at; those it wrote, and was killed
            before it counted them, are counted now.
        max_series: As for `read`.
    """
    file = folder / FILE
    try:
        if not file.exists():
            return True
        with _locked(folder.parent / f"{_RETIRED}.lock"):
            _retire(folder, lines, max_series)
        file.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("the account %s could not be added to those of ended processes: %s", file, error)
        return False
    return True


def _retire(folder: Path, lines: Iterable[tuple[int, bytes]], max_series: int) -> None:
    root = folder.parent
    retired = decode_file(_content(root / _RETIRED))
    if (_MERGED, folder.name) in retired:  # and killed before its file was removed
        return
    ended = decode_file(_content(folder / FILE))
    _count_missing(ended, lines)
    ended.pop((BACKLOG,), None)
    total = {
        key: cells for key, cells in retired.items() if key[0] != _MERGED or (root / key[1] / FILE).exists()
    }
    _merge(total, ended.items())
    total = _within(total, max_series)
    total[_MERGED, folder.name] = []
    made = root / f"{_RETIRED}.new"
    with made.open("wb") as file:
        file.write(encode_file(total))
        file.flush()
        os.fsync(file.fileno())
    made.rename(root / _RETIRED)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(file)


def _read_root(root: Path) -> _Records:
    for _ in range(_ATTEMPTS):
        before = _content(root / _RETIRED)
        total = decode_file(before)
        for file in sorted(root.glob(f"[!.]*/{FILE}"), key=_made_at):
            if (_MERGED, file.parent.name) not in total:
                _merge(total, decode_file(_content(file)).items())
        if _content(root / _RETIRED) == before:
            break
    return {key: cells for key, cells in total.items() if key[0] != _MERGED}


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _made_at(file: Path) -> float:
    try:
        return file.parent.stat().st_ctime
    except FileNotFoundError:
        return 0.0


def _merge(total: _Records, more: Iterable[tuple[Key, list[bytes]]]) -> None:
    for key, cells in more:
        known = total.get(key)
        if known is None or len(known) != len(cells):
            total[key] = list(cells)
        elif key[0] == EVENTS:
            newest = max(known, cells, key=lambda record: CELL.unpack(record[2])[1])
            total[key] = [_sum(known[0], cells[0]), *newest[1:]]
        elif key[0] == VALUES:
            newest_last = max(known[1], cells[1], key=lambda cell: CELL.unpack(cell)[1])
            total[key] = [_sum(known[0], cells[0]), newest_last]
        elif key[0] == BACKLOG:
            total[key] = [_backlog(known[0], cells[0])]
        else:
            total[key] = [_sum(one, other) for one, other in zip(known, cells, strict=True)]


def _sum(one: bytes, other: bytes) -> bytes:
    value, mark = CELL.unpack(one)
    other_value, other_mark = CELL.unpack(other)
    return CELL.pack(value + other_value, max(mark, other_mark))


def _backlog(one: bytes, other: bytes) -> bytes:
    waiting, oldest = CELL.unpack(one)
    other_waiting, other_oldest = CELL.unpack(other)
    return CELL.pack(waiting + other_waiting, min(filter(None, (oldest, other_oldest)), default=0))


def _within(records: Mapping[Key, list[bytes]], max_series: int) -> _Records:
    """Return the records with no more than so many (domain, metric) pairs, the first ones."""
    kept: _Records = {}
    pairs: set[Series] = set()
    for key, cells in records.items():
        if key[0] in (EVENTS, VALUES, DURATIONS):
            pair = (key[1], key[2])
            if pair not in pairs and len(pairs) >= max_series:
                key = (key[0], names.OVERFLOW, names.OVERFLOW, *key[3:])
            elif names.OVERFLOW not in pair:
                pairs.add(pair)
        _merge(kept, [(key, cells)])
    return kept


def _count_missing(records: _Records, lines: Iterable[tuple[int, bytes]]) -> None:
    """Count the lines a killed process had no time to count, or not in every cell."""
    reached = max((_mark(cells[0]) for key, cells in records.items() if key[0] == EVENTS), default=0)
    for position, line in lines:
        if position < reached:
            continue
        try:
            event = events.from_json(line)
        except ValueError:
            continue
        _count(records, event, _counted_as(records, event, position), position)


def _counted_as(records: _Records, event: KpiEvent, position: int) -> Series:
    """Return the labels an event was counted under, or will be if it was not."""
    pair = (event.domain, event.metric)
    for series in (pair, (names.OVERFLOW, names.OVERFLOW)):
        cells = records.get((EVENTS, *series, event.outcome))
        if cells is not None and _mark(cells[0]) >= position:
            return series
    return pair


def _count(records: _Records, event: KpiEvent, series: Series, position: int) -> None:
    def add(key: Key, cells: int, index: int, amount: float) -> None:
        record = records.setdefault(key, [_NOTHING] * cells)
        value, mark = CELL.unpack(record[index])
        if mark < position:
            record[index] = CELL.pack(value + amount, position)

    outcome = event.outcome
    add((EVENTS, *series, outcome), 3, 0, 1)
    if event.value is not None:
        add((VALUES, *series), 2, 0, event.value)
        last = records[VALUES, *series]
        if _mark(last[1]) < event.created_ns:
            last[1] = CELL.pack(event.value, event.created_ns)
    if event.duration_ms is not None:
        seconds = event.duration_ms / 1000
        key, cells = (DURATIONS, *series, outcome), len(DURATION_BUCKETS_S) + 2
        add(key, cells, bucket_of(seconds), 1)
        add(key, cells, cells - 1, seconds)


def _mark(cell: bytes) -> int:
    return int(CELL.unpack(cell)[1])


def _typed(records: _Records) -> HostAccount:
    host = HostAccount()
    for (kind, *labels), cells in records.items():
        value, mark = CELL.unpack(cells[0])
        match kind, labels:
            case "events", [domain, metric, outcome]:
                host.events[domain, metric, outcome] = int(value)
                seconds, at = CELL.unpack(cells[2])
                if at:
                    host.exemplars[domain, metric, outcome] = Exemplar(
                        cells[1].hex(), None if math.isnan(seconds) else seconds, at / 1e9
                    )
            case "values", [domain, metric]:
                host.value_sum[domain, metric] = value
                host.value_last[domain, metric] = CELL.unpack(cells[1])[0]
            case "durations", [domain, metric, outcome]:
                *buckets, total = (CELL.unpack(cell)[0] for cell in cells)
                host.durations[domain, metric, outcome] = Durations([int(count) for count in buckets], total)
            case "discarded", [reason]:
                host.discarded[reason] = Counted(int(value), mark / 1e9)
            case "exported", []:
                host.exported = int(value)
            case "failures", []:
                host.failures = Counted(int(value), mark / 1e9)
            case "backlog", []:
                host.spool_events = int(value)
                host.spool_oldest_age_s = max(time.time() - mark / 1e9, 0.0) if mark else 0.0
    return host
