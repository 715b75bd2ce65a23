"""Runs checks at once, each within its timeout; one that hangs is neither waited for nor started again."""

import asyncio
import inspect
import json
import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from golive.checks import Check, CheckResult
from golive.detail import to_json_text
from golive.errors import GoliveError, SchemaError

_log = logging.getLogger(__name__)

_DETAIL_MAX_BYTES = 64 << 10


class Outcome(NamedTuple):
    """A check and what it found; not `determined` if it raised, timed out or never ran."""

    check: Check
    result: CheckResult
    determined: bool = True


class _Run:
    """A run of a check, under way or to come."""

    def __init__(self) -> None:
        self.future: Future[CheckResult] = Future()
        self.since = math.inf
        """When it began."""
        self.next: _Run | None = None
        """What begins when it ends: a run for those who asked since it began."""


class CheckRunner:
    """Runs checks on one database. Any thread may call `run`.

    A check never runs twice at once. Who asks for one that is under way gets the next run, which begins when
    that one ends: it may have looked before what is asked about came about. All who wait for it share it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._running: dict[str, _Run] = {}
        self._failing: dict[str, str] = {}

    def run(self, checks: Sequence[Check]) -> list[Outcome]:
        """Return the outcome of each check, in their order, after the longest of their timeouts at most.

        Each is of a run that began after this was called.
        """
        asked_at = time.monotonic()
        runs = [self._start(check, asked_at) for check in checks]
        return [_outcome(check, run, asked_at) for check, run in zip(checks, runs, strict=True)]

    def _start(self, check: Check, asked_at: float) -> _Run:
        with self._lock:
            running = self._running.get(check.id)
            if running is not None:
                if running.since + check.timeout_s < asked_at:
                    return running  # it hangs: nobody waits for it
                running.next = running.next or _Run()
                return running.next
            run = _Run()
            # Daemons: a check that hangs must not keep the process from ending, as one of an executor would.
            thread = threading.Thread(
                target=self._work, args=(check, run), name=f"golive-check-{check.id}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system has no room for it
                run.future.set_exception(error)
            else:
                run.since = time.monotonic()
                self._running[check.id] = run
        return run

    def _work(self, check: Check, run: _Run | None) -> None:
        while run is not None:
            error: BaseException | None = None
            try:
                with Session(self._engine) as session:
                    result = _call(check, session)
            except BaseException as raised:
                error = raised
            following = self._end(check, run, error)
            if error is None:
                run.future.set_result(result)
            else:
                run.future.set_exception(error)
            run = following

    def _end(self, check: Check, run: _Run, error: BaseException | None) -> _Run | None:
        """Let a run be over; return the next one, which is under way from now on."""
        with self._lock:
            if run.next is None:
                del self._running[check.id]
            else:
                run.next.since = time.monotonic()
                self._running[check.id] = run.next
        self._note(check, error)
        return run.next

    def _note(self, check: Check, error: BaseException | None) -> None:
        kind = type(error).__name__ if error is not None else ""
        known, self._failing[check.id] = self._failing.get(check.id, ""), kind
        if error is not None and kind != known:  # once, for it may go on every second
            text = " ".join(str(getattr(error, "orig", error)).split())
            _log.warning(
                "the runbook check %s raised %s: %s", check.id, kind, text, exc_info=_traceback(error)
            )


def _outcome(check: Check, run: _Run, asked_at: float) -> Outcome:
    began = min(run.since, asked_at)
    wait([run.future], timeout=max(0.0, began + check.timeout_s - time.monotonic()))
    if not run.future.done():
        waited = time.monotonic() - began
        message = f"It has not answered for {waited:.1f} s; its timeout is {check.timeout_s:g} s."
        return Outcome(check, CheckResult(False, message, {"error": "timeout"}), determined=False)
    error = run.future.exception()
    if error is None:
        return Outcome(check, run.future.result())
    result = CheckResult(False, _explained(error), {"error": type(error).__name__})
    return Outcome(check, result, determined=False)


def _call(check: Check, session: Session) -> CheckResult:
    found: Any = check.function(session)
    if inspect.isawaitable(found):
        found = asyncio.run(_awaited(found))
    if isinstance(found, CheckResult):
        text = to_json_text(found.detail, _DETAIL_MAX_BYTES)
        return CheckResult(bool(found.ok), str(found.message), None if text is None else json.loads(text))
    if found is None or isinstance(found, bool):
        return CheckResult(found is not False, "All is well." if found is not False else "It is not well.")
    raise TypeError(f"expected a CheckResult, True, False or None, got {type(found).__name__}")


async def _awaited(found: Any) -> Any:
    return await found


def _traceback(error: BaseException) -> BaseException | None:
    """Return the error if where it was raised tells more than its text."""
    return None if isinstance(error, SQLAlchemyError | GoliveError) else error


def _explained(error: BaseException) -> str:
    # Not the error's own text, which may name hosts and users: the runbook may be public.
    if isinstance(error, SchemaError):
        return "golive's tables are missing, or of an older version."
    if isinstance(error, SQLAlchemyError):
        return f"The database cannot be read ({type(error).__name__})."
    return f"The check raised {type(error).__name__}."
