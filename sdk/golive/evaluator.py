"""What many ask for often, evaluated at most once an interval: for gates, gauges and pages.

runbooks = RunbookEvaluator(db, interval_s=1.0)
runbooks.latest(wait_s=5.0)      # Evaluation(value, age_s=0.4), never older than the interval
levers = LeversEvaluator(db, interval_s=1.0)
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, NamedTuple, TypeVar

from golive import levers
from golive.levers import Levers
from golive.models.base import utc_now
from golive.production import REFRESH_S, ProductionGate
from golive.runbook import CheckReport, Runbook, build_runbook
from golive.state import State

__all__ = ["Evaluation", "Evaluator", "LeversEvaluator", "RunbookEvaluator", "StateEvaluator"]

T = TypeVar("T")

UNEVALUATED: Final = "runbook_evaluated"
"""The blocker of a runbook that could not be evaluated."""


class Evaluation(NamedTuple, Generic[T]):
    """What was found, and how old it is, in seconds, from when its evaluation began."""

    value: T
    age_s: float


class Evaluator(Generic[T]):
    """Any thread may call `latest`; evaluations run in a thread of their own, one at a time.

    Args:
        evaluate: Does it.
        interval_s: How long before it was asked for an answer may have been begun.
        without: What to answer where there is none, given why.
    """

    def __init__(self, evaluate: Callable[[], T], interval_s: float, without: Callable[[str], T]) -> None:
        self.interval_s = interval_s
        self.took_s: float | None = None
        """How long the last evaluation took, in seconds; None before the first has ended."""
        self._evaluate = evaluate
        self._without = without
        self._lock = threading.Lock()
        self._running: Future[tuple[T, float]] | None = None
        self._last: tuple[T, float] | None = None

    def latest(self, wait_s: float, asked_at: float | None = None) -> Evaluation[T]:
        """Return an evaluation begun not longer than the interval before it was asked for, made if need be.

        Args:
            wait_s: How long to wait. Where it takes longer the answer says so, and is no stale one.
            asked_at: When it was asked for, on the monotonic clock; now by default.
        """
        until = time.monotonic() + wait_s
        if asked_at is None:
            asked_at = time.monotonic()
        found = self._last
        try:
            while found is None or asked_at - found[1] > self.interval_s:
                # One that is under way may have begun too long ago as well.
                found = self._start().result(max(until - time.monotonic(), 0.0))
        except TimeoutError:
            found = self._too_late(wait_s)
        return Evaluation(found[0], time.monotonic() - found[1])

    async def awaited(self, wait_s: float, *, afresh: bool = False) -> Evaluation[T]:
        """Return what `latest` does, without a thread that waits: however many ask, none keeps another.

        Args:
            wait_s: As for `latest`.
            afresh: Only one begun from now on will do, for something was changed a moment ago.
        """
        asked_at = time.monotonic() + (self.interval_s if afresh else 0.0)
        found = self._last
        try:
            async with asyncio.timeout(wait_s):
                while found is None or asked_at - found[1] > self.interval_s:
                    found = await asyncio.shield(asyncio.wrap_future(self._start()))
        except TimeoutError:
            found = self._too_late(wait_s)
        return Evaluation(found[0], time.monotonic() - found[1])

    def refresh(self) -> None:
        """Begin an evaluation if there is none that will do, and do not wait for it."""
        last = self._last
        if last is None or time.monotonic() - last[1] > self.interval_s:
            self._start()

    def _too_late(self, wait_s: float) -> tuple[T, float]:
        return self._without(f"It has not been evaluated within {wait_s:g} s."), time.monotonic()

    def _start(self) -> "Future[tuple[T, float]]":
        with self._lock:
            if self._running is not None:
                return self._running
            future: Future[tuple[T, float]] = Future()
            try:
                threading.Thread(
                    target=self._run, args=(future,), name="golive-evaluator", daemon=True
                ).start()
            except RuntimeError as error:  # the system has no room for it
                future.set_result((self._failed(error), time.monotonic()))
            else:
                self._running = future
            return future

    def _run(self, future: "Future[tuple[T, float]]") -> None:
        began = time.monotonic()
        try:
            value = self._evaluate()
        except Exception as error:
            value = self._failed(error)
        with self._lock:
            self.took_s = time.monotonic() - began
            self._last, self._running = (value, began), None
        future.set_result((value, began))

    def _failed(self, error: Exception) -> T:
        return self._without(f"It cannot be evaluated ({type(error).__name__}).")


class RunbookEvaluator(Evaluator[Runbook]):
    """Evaluates the runbook of a database; one that cannot be evaluated has a blocker that says so."""

    def __init__(
        self, db: object, interval_s: float, build: Callable[[object], Runbook] = build_runbook
    ) -> None:
        super().__init__(lambda: build(db), interval_s, _unevaluated)


class LeversEvaluator(Evaluator[Levers | None]):
    """Reads the levers of a database; None where they cannot be read."""

    def __init__(self, db: object, interval_s: float) -> None:
        super().__init__(lambda: levers.read(db), interval_s, lambda _: None)


class StateEvaluator(Evaluator[State | None]):
    """Asks a gate for the go-live state; None where it is not known."""

    def __init__(self, gate: ProductionGate) -> None:
        super().__init__(gate.state, REFRESH_S, lambda _: None)


def _unevaluated(message: str) -> Runbook:
    check: CheckReport = {
        "id": UNEVALUATED,
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
        "blockers": [check],
        "warnings": [],
        "info": [],
    }
