"""The account of a host: what all its processes counted for one store, the living and the ended ones (E2).

Counts never run backwards, whoever reads them: what an ended process had counted is added to `retired` before
its own file goes (`golive.succession`), and a reader that meets this half done reads again.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from golive.account import Series
from golive.account_records import MERGED, RETIRED, Records, content, merge, of_both_ways, within
from golive.cells import CELL, decode_file
from golive.shared_account import FILE

__all__ = ["Counted", "Durations", "Exemplar", "HostAccount", "Values", "read"]

_ATTEMPTS: Final = 20

Labels = tuple[str, str, str]
"""Domain, metric and outcome."""


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
    total: Records = {}
    for root in roots:
        merge(total, _read_root(root).items())
    return _typed(within(total, max_series))


def _read_root(root: Path) -> Records:
    for _ in range(_ATTEMPTS):
        before = content(root / RETIRED)
        total = decode_file(before)
        for file in sorted(root.glob(f"[!.]*/{FILE}"), key=_made_at):
            if (MERGED, file.parent.name) not in total:
                merge(total, of_both_ways(decode_file(content(file))))
        if content(root / RETIRED) == before:
            break
    return {key: cells for key, cells in total.items() if key[0] != MERGED}


def _made_at(file: Path) -> float:
    try:
        return file.parent.stat().st_ctime
    except FileNotFoundError:
        return 0.0


def _typed(records: Records) -> HostAccount:
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
