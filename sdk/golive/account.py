"""The account of true events (E2): what every golive metric shows, kept in one place and counted once."""

import bisect
import logging
import threading
from collections import Counter
from typing import Final

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


class Account:
    """Counts of one process since it started. Any thread may call any method; none blocks.

    Attributes:
        events: Events that are true and durable, per (domain, metric, outcome).
        value_sum: Sum of the values of those events, per (domain, metric).
        value_last: The latest of those values, per (domain, metric).
        discarded: Events that were not recorded, per reason.
        exported: Events this process delivered to the store.
    """

    def __init__(self, max_series: int = 400) -> None:
        self.max_series = max_series
        # Reentrant: a signal handler or a finalizer may count while its thread is counting.
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked child starts its own account."""
        self._lock = threading.RLock()
        self.events: Counter[tuple[str, str, str]] = Counter()
        self.value_sum: dict[Series, float] = {}
        self.value_last: dict[Series, float] = {}
        self.discarded: Counter[str] = Counter()
        self.exported = 0
        self._series: dict[Series, Series] = {}
        self._overflowed = False

    def count(self, event: KpiEvent) -> Series:
        """Count an event that has become true and durable; return the labels it counts under."""
        with self._lock:
            series = self._series.get((event.domain, event.metric)) or self._admit(
                (event.domain, event.metric)
            )
            self.events[*series, event.outcome] += 1
            if event.value is not None:
                self.value_sum[series] = self.value_sum.get(series, 0.0) + event.value
                self.value_last[series] = event.value
            return series

    def discard(self, count: int, reason: str) -> None:
        """Count events that were not recorded; `reason` is one of `names.DISCARD_*`."""
        with self._lock:
            self.discarded[reason] += count

    def delivered(self, count: int) -> None:
        """Count events that reached the store."""
        with self._lock:
            self.exported += count

    def snapshot(self) -> "Account":
        """Return a copy that stands still."""
        with self._lock:
            copy = Account(self.max_series)
            copy.events.update(self.events)
            copy.value_sum.update(self.value_sum)
            copy.value_last.update(self.value_last)
            copy.discarded.update(self.discarded)
            copy.exported = self.exported
            return copy

    def _admit(self, pair: Series) -> Series:
        if len(self._series) < self.max_series:
            self._series[pair] = pair
            return pair
        if not self._overflowed:
            self._overflowed = True
            _log.warning(
                "more than %d (domain, metric) pairs: %s.%s and further ones count under %s; "
                "GOLIVE_MAX_SERIES sets the limit", self.max_series, *pair, names.OVERFLOW,
            )  # fmt: skip
        return _OVERFLOW


_OVERFLOW: Series = (names.OVERFLOW, names.OVERFLOW)
