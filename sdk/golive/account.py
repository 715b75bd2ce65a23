"""The account of true events (E2): what every golive metric shows, kept in one place and counted once."""

import bisect
import logging
import threading
from collections import Counter, defaultdict
from typing import Final, NamedTuple

from golive import names
from golive.events import KpiEvent

_log = logging.getLogger(__name__)

Series = tuple[str, str]
"""A (domain, metric) pair, the only labels besides the outcome (E7)."""

DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the buckets of step durations, in seconds."""


def bucket_of(seconds: float) -> int:
    """Return the index of the bucket a duration falls into; one past the last for a longer one."""
    return bisect.bisect_left(DURATION_BUCKETS_S, seconds)


class Tally:
    """How many events of one outcome and metric there were, and the labels they count under."""

    __slots__ = ("count", "outcome", "series")

    def __init__(self, series: Series, outcome: str) -> None:
        self.series = series
        self.outcome = outcome
        self.count = 0


class Account:
    """Counts of one process since it started. Any thread may call any method; none blocks.

    Attributes:
        value_sum: Sum of the values of the events that are true and durable, per (domain, metric).
        value_last: The latest of those values, per (domain, metric).
        discarded: Events that were not recorded, per reason.
        exported: Events this process delivered to the store.
    """

    def __init__(self, max_series: int = 400) -> None:
        self.max_series = max_series
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked child starts its own account."""
        # Reentrant: a signal handler or a finalizer may count while its thread is counting.
        self._lock = threading.RLock()
        self.value_sum: dict[Series, float] = defaultdict(float)
        self.value_last: dict[Series, float] = {}
        self.discarded: Counter[str] = Counter()
        self.exported = 0
        self._tallies: dict[tuple[str, str, bool | None, bool], Tally] = {}
        self._series: set[Series] = set()
        self._overflowed = False

    @property
    def events(self) -> Counter[tuple[str, str, str]]:
        """Events that are true and durable, per (domain, metric, outcome)."""
        counts: Counter[tuple[str, str, str]] = Counter()
        with self._lock:
            for tally in self._tallies.values():
                counts[*tally.series, tally.outcome] += tally.count
        return counts

    def count(self, event: KpiEvent) -> Tally:
        """Count an event that has become true and durable; return what it counts under."""
        key = (event.domain, event.metric, event.success, event.value is None)
        with self._lock:
            tally = self._tallies.get(key) or self._tally(event)
            tally.count += 1
            if event.value is not None:
                series = tally.series
                self.value_sum[series] += event.value
                self.value_last[series] = event.value
            return tally

    def discard(self, count: int, reason: str) -> None:
        """Count events that were not recorded; `reason` is one of `names.DISCARD_*`."""
        with self._lock:
            self.discarded[reason] += count

    def delivered(self, count: int) -> None:
        """Count events that reached the store."""
        with self._lock:
            self.exported += count

    def snapshot(self) -> "Snapshot":
        """Return a copy that stands still."""
        with self._lock:
            return Snapshot(
                self.events,
                dict(self.value_sum),
                dict(self.value_last),
                Counter(self.discarded),
                self.exported,
            )

    def _tally(self, event: KpiEvent) -> Tally:
        series = self._admit(event)
        key = (*series, event.success, event.value is None)
        if key not in self._tallies:
            self._tallies[key] = Tally(series, event.outcome)
        return self._tallies[key]

    def _admit(self, event: KpiEvent) -> Series:
        pair = (event.domain, event.metric)
        if pair in self._series or len(self._series) < self.max_series:
            self._series.add(pair)
            return pair
        if not self._overflowed:
            self._overflowed = True
            _log.warning(
                "more than %d (domain, metric) pairs: %s.%s and further ones count under %s; "
                "GOLIVE_MAX_SERIES sets the limit", self.max_series, *pair, names.OVERFLOW,
            )  # fmt: skip
        return _OVERFLOW


class Snapshot(NamedTuple):
    """An account at one moment; its fields are those of `Account`."""

    events: Counter[tuple[str, str, str]]
    value_sum: dict[Series, float]
    value_last: dict[Series, float]
    discarded: Counter[str]
    exported: int


_OVERFLOW: Series = (names.OVERFLOW, names.OVERFLOW)
