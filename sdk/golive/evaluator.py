"""The runbook evaluated at most once an interval, for everything that asks often: gates, gauges, pages.

evaluator = RunbookEvaluator(db, interval_s=1.0)
evaluator.latest(wait_s=5.0)      # Evaluation(runbook, age_s=0.4), never older than the interval
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from golive.models.base import utc_now
from golive.runbook import Runbook, build_runbook

__all__ = ["Evaluation", "RunbookEvaluator"]


class Evaluation(NamedTuple):
    """A runbook and how old it is, in seconds, from when its evaluation began."""

    runbook: Runbook
    age_s: float


class RunbookEvaluator:
    """Any thread may call `latest`; evaluations run in a thread of their own, one at a time.

    Args:
        db: The database, as `build_runbook` takes it.
        interval_s: How old an answer may be.
        build: Evaluates; fails closed by itself.
    """

    def __init__(
        self, db: object, interval_s: float, build: Callable[[object], Runbook] = build_runbook
    ) -> None:
        self.interval_s = interval_s
        self._db = db
        self._build = build
        self._lock = threading.Lock()
        self._running: Future[tuple[Runbook, float]] | None = None
        self._last: tuple[Runbook, float] | None = None

    def latest(self, wait_s: float) -> Evaluation:
        """Return an evaluation not older than the interval, made now if need be.

        Where it takes longer than `wait_s` seconds the answer is a runbook that says so, with a blocker: a
        gate never answers from a stale one.
        """
        found = self._fresh()
        if found is None:
            try:
                found = self._start().result(timeout=wait_s)
            except TimeoutError:
                found = _unevaluated(f"It has not been evaluated within {wait_s:g} s."), time.monotonic()
        return Evaluation(found[0], time.monotonic() - found[1])

    def _fresh(self) -> tuple[Runbook, float] | None:
        last = self._last
        return last if last is not None and time.monotonic() - last[1] <= self.interval_s else None

    def _start(self) -> "Future[tuple[Runbook, float]]":
        with self._lock:
            if self._running is None:
                self._running = Future()
                threading.Thread(
                    target=self._evaluate, args=(self._running,), name="golive-runbook", daemon=True
                ).start()
            return self._running

    def _evaluate(self, future: "Future[tuple[Runbook, float]]") -> None:
        began = time.monotonic()
        try:
            runbook = self._build(self._db)
        except Exception as error:
            runbook = _unevaluated(f"It cannot be evaluated ({type(error).__name__}).")
        with self._lock:
            self._last, self._running = (runbook, began), None
        future.set_result((runbook, began))


def _unevaluated(message: str) -> Runbook:
    check: Mapping[str, Any] = {
        "id": "runbook_evaluated",
        "ok": False,
        "severity": "BLOCKER",
        "message": message,
        "detail": None,
        "action": "Look at the log of golive and at its database; ask again.",
    }
    return {
        "generated_at": utc_now().isoformat(),
        "ok_to_enable_go_live": False,
        "verdict": "inconclusive",
        "blockers": [check],  # type: ignore[list-item]
        "warnings": [],
        "info": [],
    }
