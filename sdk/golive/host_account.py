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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from golive import events, names
from golive.account import Series, bucket_of
from golive.cells import CELL, Key, decode_file, encode_file
from golive.events import KpiEvent
from golive.shared_account import (
    BACKLOG,
    CELLS,
    DURATIONS,
    EVENTS,
    FILE,
    INTENT,
    TX,
    VALUES,
)

__all__ = [
    "Counted",
    "Durations",
    "Exemplar",
    "HostAccount",
    "Values",
    "look_into",
    "read",
    "retire",
    "take_over",
]

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
Find = Callable[[Sequence[int], Collection[int]], Iterable[KpiEvent]]


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
    """How many fell into each of `account.DURATION_BUCKETS_S`, and beyond the last; not cumulative."""
    total_s: float


class Values(NamedTuple):
    """The values of the events of a metric."""

    events: int
    total: float
    last: float
    """The one that happened last."""


class Counted(NamedTuple):
    """How often something happened, and when it last did, in Unix time."""

    times: int
    last_at_s: float


class _Intent(NamedTuple):
    """Some events of a transaction that was about to commit."""

    first: int
    """The number of the first of them if they were being counted, else 0."""
    ids: list[int]
    transaction: int
    """The database's number of it, 0 if there is none."""


@dataclass
class HostAccount:
    """What the processes of a host counted for one store."""

    events: dict[Labels, int] = field(default_factory=dict)
    exemplars: dict[Labels, Exemplar] = field(default_factory=dict)
    values: dict[Series, Values] = field(default_factory=dict)
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


def take_over(folder: Path, lines: Iterable[tuple[int, bytes]]) -> bool | None:
    """Count the events a killed process appended to its spool and had no time to count.

    The process's lock must be the caller's.

    Args:
        folder: The process's spool folder.
        lines: The last lines of its spool, each with the position it ends at.

    Returns:
        Whether it was killed around a commit, so that the store has to be asked for more; None where it
        cannot be counted now, as on a full disk: the caller has to try again, with the same lines.
    """
    file = folder / FILE
    records: _Records = {}
    if not file.exists():
        return False
    with _logging(file):
        records = decode_file(_content(file))
        _count_lines(records, lines)
        records.pop((BACKLOG,), None)  # it is the caller's now, whose backlog has it
        _replace(file, records)
        return bool(_intents(records))
    return None


def look_into(folder: Path) -> None:
    """Raise `OSError` if there is an account of an ended process that cannot be read."""
    with contextlib.suppress(FileNotFoundError), (folder / FILE).open("rb") as file:
        file.read(1)


def retire(folder: Path, find: Find | None, max_series: int) -> bool:
    """Add what an ended process counted to what all ended ones did; return whether that could be done.

    The process's lock must be the caller's, and its transactions over.

    Args:
        folder: The process's spool folder.
        find: Returns those of the events with the given ids that the store has, and raises while one of the
            transactions with the given numbers is open; None where nothing was killed between a commit and
            its count.
        max_series: As for `read`.
    """
    file = folder / FILE
    if not file.exists():
        return True
    with _logging(file), _locked(folder.parent / f"{_RETIRED}.lock"):
        _merge_into_retired(folder, find, max_series)
        file.unlink(missing_ok=True)
    return not file.exists()


def _merge_into_retired(folder: Path, find: Find | None, max_series: int) -> None:
    root = folder.parent
    retired = decode_file(_content(root / _RETIRED))
    if (_MERGED, folder.name) in retired:  # and killed before its file was removed
        return
    ended = decode_file(_content(folder / FILE))
    if find is not None:
        _count_intended(ended, find)
    ended.pop((BACKLOG,), None)
    total = {
        key: cells for key, cells in retired.items() if key[0] != _MERGED or (root / key[1] / FILE).exists()
    }
    _merge(total, _of_both_ways(ended))
    total = _within(total, max_series)
    total[_MERGED, folder.name] = []
    _replace(root / _RETIRED, total)


def _replace(file: Path, records: _Records) -> None:
    made = file.with_name(f"{file.name}.new")
    with made.open("wb") as opened:
        opened.write(encode_file(records))
        opened.flush()
        os.fsync(opened.fileno())
    made.rename(file)


@contextlib.contextmanager
def _logging(file: Path) -> Iterator[None]:
    """Log what goes wrong with an ended process's account: whoever takes it over has work to go on with."""
    try:
        yield
    except Exception as error:  # the store's driver raises what it likes
        _log.warning("the account %s cannot be taken over now: %s: %s", file, type(error).__name__, error)


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
                _merge(total, _of_both_ways(decode_file(_content(file))))
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
            newest = max(known, cells, key=lambda record: _mark(record[2]))
            total[key] = [_sum(known[0], cells[0]), *newest[1:]]
        elif key[0] == VALUES:
            last = max(known[2], cells[2], key=_mark)
            total[key] = [_sum(known[0], cells[0]), _sum(known[1], cells[1]), last]
        elif key[0] == BACKLOG:
            total[key] = [_backlog(known[0], cells[0])]
        else:
            total[key] = [_sum(one, other) for one, other in zip(known, cells, strict=True)]


def _of_both_ways(records: _Records) -> Iterator[tuple[Key, list[bytes]]]:
    """Yield what was counted, whether a spool or a transaction carried it."""
    for (kind, *labels), cells in records.items():
        if kind != INTENT:
            yield (kind.removeprefix(TX), *labels), cells


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


def _count_lines(records: _Records, lines: Iterable[tuple[int, bytes]]) -> None:
    """Count the lines of a spool that are not counted, or not in every cell."""
    reached = _reached(records, EVENTS)
    for position, line in lines:
        if position < reached:
            continue
        with contextlib.suppress(ValueError):
            _count(records, "", events.from_json(line), position)


def _count_intended(records: _Records, find: Find) -> None:
    """Count the events of committed transactions that are not counted, or not in every cell."""
    intents = _intents(records)
    transactions = {intent.transaction for intent in intents} - {0}
    all_ids = [event_id for intent in intents for event_id in intent.ids]
    found = {event.id: event for event in find(all_ids, transactions)}
    following = max(_reached(records, TX + EVENTS), *(first + len(ids) for first, ids, _ in intents), 0) + 1
    # Those that were being counted first: their numbers are given.
    for first, ids, _ in sorted(intents, key=lambda intent: intent.first == 0):
        for position, event_id in enumerate(ids, first or following):
            if event_id in found:
                _count(records, TX, found[event_id], position)
        following += 0 if first else len(ids)


def _intents(records: _Records) -> list[_Intent]:
    """Return what each undecided transaction was about to commit."""
    found = []
    for key, cells in records.items():
        noted, first = CELL.unpack(cells[0])
        if key[0] == INTENT and noted:
            ids = [_mark(cell) for cell in cells[1 : 1 + int(noted)]]
            found.append(_Intent(first, ids, _mark(cells[-1])))
    return found


def _reached(records: _Records, kind: str) -> int:
    return max((_mark(cells[0]) for key, cells in records.items() if key[0] == kind), default=0)


def _counted_as(records: _Records, way: str, event: KpiEvent, position: int) -> Series:
    """Return the labels an event was counted under, or will be if it was not."""
    pair = (event.domain, event.metric)
    for series in (pair, (names.OVERFLOW, names.OVERFLOW)):
        cells = records.get((way + EVENTS, *series, event.outcome))
        if cells is not None and _mark(cells[0]) >= position:
            return series
    return pair


def _count(records: _Records, way: str, event: KpiEvent, position: int) -> None:
    """Count an event in every cell that has not reached its position."""

    def add(key: Key, index: int, amount: float) -> None:
        record = records.setdefault(key, [_NOTHING] * CELLS[key[0]])
        value, mark = CELL.unpack(record[index])
        if mark < position:
            record[index] = CELL.pack(value + amount, position)

    series, outcome = _counted_as(records, way, event, position), event.outcome
    add((way + EVENTS, *series, outcome), 0, 1)
    if event.value is not None:
        values = (way + VALUES, *series)
        add(values, 0, 1)
        add(values, 1, event.value)
        if _mark(records[values][2]) < event.created_ns:
            records[values][2] = CELL.pack(event.value, event.created_ns)
    if event.duration_ms is not None:
        seconds = event.duration_ms / 1000
        durations = (way + DURATIONS, *series, outcome)
        add(durations, bucket_of(seconds), 1)
        add(durations, CELLS[DURATIONS] - 1, seconds)


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
                total, last = (CELL.unpack(cell)[0] for cell in cells[1:])
                host.values[domain, metric] = Values(int(value), total, last)
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
