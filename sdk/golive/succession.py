"""How the account of an ended process is completed, and joins that of all the ended ones (E2).

A `kill -9` may strike between an event and its count, and then again in the middle of this: each file is
replaced whole, and what is done already is not done again.
"""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from golive import events, names
from golive.account import Series, bucket_of
from golive.account_records import MERGED, RETIRED, Records, content, mark_of, merge, of_both_ways, within
from golive.cells import CELL, Key, decode_file, encode_file
from golive.events import KpiEvent
from golive.shared_account import BACKLOG, CELLS, DURATIONS, EVENTS, FILE, INTENT, TX, VALUES

_log = logging.getLogger(__name__)

_LOCK_WAIT_S: Final = 1.0
_NOTHING: Final = CELL.pack(0.0, 0)

Find = Callable[[Sequence[int], Collection[int]], Iterable[KpiEvent]]


class _Intent(NamedTuple):
    """Some events of a transaction that was about to commit."""

    first: int
    """The number of the first of them if they were being counted, else 0."""
    ids: list[int]
    transaction: int
    """The database's number of it, 0 if there is none."""


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
    records: Records = {}
    if not file.exists():
        return False
    with _logging(file):
        records = decode_file(content(file))
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
        max_series: As for `host_account.read`.
    """
    file = folder / FILE
    if not file.exists():
        return True
    with _logging(file), _locked(folder.parent / f"{RETIRED}.lock"):
        _merge_into_retired(folder, find, max_series)
        file.unlink(missing_ok=True)
    return not file.exists()


def _merge_into_retired(folder: Path, find: Find | None, max_series: int) -> None:
    root = folder.parent
    retired = decode_file(content(root / RETIRED))
    if (MERGED, folder.name) in retired:  # and killed before its file was removed
        return
    ended = decode_file(content(folder / FILE))
    if find is not None:
        _count_intended(ended, find)
    ended.pop((BACKLOG,), None)
    total = {
        key: cells for key, cells in retired.items() if key[0] != MERGED or (root / key[1] / FILE).exists()
    }
    merge(total, of_both_ways(ended))
    total = within(total, max_series)
    total[MERGED, folder.name] = []
    _replace(root / RETIRED, total)


def _replace(file: Path, records: Records) -> None:
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


def _count_lines(records: Records, lines: Iterable[tuple[int, bytes]]) -> None:
    """Count the lines of a spool that are not counted, or not in every cell."""
    reached = _reached(records, EVENTS)
    for position, line in lines:
        if position < reached:
            continue
        with contextlib.suppress(ValueError):
            _count(records, "", events.from_json(line), position)


def _count_intended(records: Records, find: Find) -> None:
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


def _intents(records: Records) -> list[_Intent]:
    """Return what each undecided transaction was about to commit."""
    found = []
    for key, cells in records.items():
        noted, first = CELL.unpack(cells[0])
        if key[0] == INTENT and noted:
            ids = [mark_of(cell) for cell in cells[1 : 1 + int(noted)]]
            found.append(_Intent(first, ids, mark_of(cells[-1])))
    return found


def _reached(records: Records, kind: str) -> int:
    return max((mark_of(cells[0]) for key, cells in records.items() if key[0] == kind), default=0)


def _counted_as(records: Records, way: str, event: KpiEvent, position: int) -> Series:
    """Return the labels an event was counted under, or will be if it was not."""
    pair = (event.domain, event.metric)
    for series in (pair, (names.OVERFLOW, names.OVERFLOW)):
        cells = records.get((way + EVENTS, *series, event.outcome))
        if cells is not None and mark_of(cells[0]) >= position:
            return series
    return pair


def _count(records: Records, way: str, event: KpiEvent, position: int) -> None:
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
        if mark_of(records[values][2]) < event.created_ns:
            records[values][2] = CELL.pack(event.value, event.created_ns)
    if event.duration_ms is not None:
        seconds = event.duration_ms / 1000
        durations = (way + DURATIONS, *series, outcome)
        add(durations, bucket_of(seconds), 1)
        add(durations, CELLS[DURATIONS] - 1, seconds)
