"""Evaluates tripwires after every so many events that were stored, on a thread of its own."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Set

from sqlalchemy import URL

from golive import governance, regression
from golive.errors import GoliveError
from golive.exporters._records import one_line

__all__ = ["AfterEvents"]

_log = logging.getLogger(__name__)

REST_PER_WORK = 50
"""How much longer than it works the thread rests: what shares the interpreter with it must not notice."""
MAX_REST_S = 5.0
STOP_WAIT_S = 3.0
COMPLAIN_EVERY_S = 60.0
STREAMS_MAX = 10_000
"""Of how many streams events are counted; past it all are counted from nought again."""

Stream = tuple[str, str]


class AfterEvents:
    """Counts the stored events of each (domain, metric), and evaluates its tripwire when there are enough.

    Evaluations of one stream that fall due while the thread works or rests become one.

    Args:
        url: The database of the levers; None for `DATABASE_URL`.
        every: After how many events of a stream.
    """

    def __init__(self, url: URL | None, every: int) -> None:
        self._url = url
        self._every = every
        self._lock = threading.Lock()
        self._seen: Counter[Stream] = Counter()
        self._due: set[Stream] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._complaint_due = 0.0

    def saw(self, streams: Iterable[Stream]) -> None:
        """Count an event of each of these streams; from any thread, never blocks, nor raises."""
        with self._lock:
            for stream in streams:
                self._seen[stream] += 1
                if self._seen[stream] >= self._every:
                    self._seen[stream] = 0
                    self._due.add(stream)
            if len(self._seen) > STREAMS_MAX:
                self._seen.clear()
            if self._due and not self._stopping.is_set():
                self._start()
                self._wake.set()

    def stop(self) -> None:
        """Evaluate what is due now, for a few seconds at most, and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_WAIT_S)

    def _start(self) -> None:
        if self._thread is None:
            try:
                thread = threading.Thread(target=self._run, name="golive-tripwires", daemon=True)
                thread.start()
            except RuntimeError:  # the interpreter is ending
                return
            self._thread = thread

    def _run(self) -> None:
        while True:
            self._wake.wait()
            with self._lock:
                due, self._due = self._due, set()
                self._wake.clear()
            began = time.thread_time()
            try:
                self._evaluate(due)
            except Exception as error:  # drivers raise what they like; the next event brings the next try
                self._complain(error)
                with self._lock:
                    self._due |= due
            if self._stopping.is_set():
                return
            self._stopping.wait(min((time.thread_time() - began) * REST_PER_WORK, MAX_REST_S))

    def _evaluate(self, due: Set[Stream]) -> None:
        with governance.reading(self._url) as connection:
            enabled = {
                (policy.domain, policy.metric) for policy in regression.policies(connection) if policy.enabled
            }
        for stream in sorted(due & enabled):
            try:
                regression.evaluate_policy(self._url, *stream)
            except GoliveError as error:
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        if time.monotonic() >= self._complaint_due:
            self._complaint_due = time.monotonic() + COMPLAIN_EVERY_S
            _log.error("a tripwire could not be evaluated: %s", one_line(error))
