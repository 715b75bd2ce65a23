"""Runs checks at once, each within its timeout; one that hangs is neither waited for nor started again."""

import asyncio
import inspect
import json
import logging
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


class _Run(NamedTuple):
    """A check under way."""

    future: "Future[CheckResult]"
    since: float


class CheckRunner:
    """Runs checks on one database. Any thread may call `run`; a check that is under way is shared."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._running: dict[str, _Run] = {}
        self._failing: dict[str, str] = {}

    def run(self, checks: Sequence[Check]) -> list[Outcome]:
        """Return the outcome of each check, in their order, after the longest of their timeouts at most."""
        runs = [self._start(check) for check in checks]
        return [_outcome(check, run) for check, run in zip(checks, runs, strict=True)]

    def _start(self, check: Check) -> _Run:
        with self._lock:
            if check.id in self._running:
                return self._running[check.id]
            run = self._running[check.id] = _Run(Future(), time.monotonic())
        # Daemons: a check that hangs must not keep the process from ending, as one of an executor would.
        threading.Thread(
            target=self._work, args=(check, run), name=f"golive-check-{check.id}", daemon=True
        ).start()
        return run

    def _work(self, check: Check, run: _Run) -> None:
        try:
            with Session(self._engine) as session:
                result = _call(check, session)
        except BaseException as error:
            self._end(check, error)
            run.future.set_exception(error)
        else:
            self._end(check, None)
            run.future.set_result(result)

    def _end(self, check: Check, error: BaseException | None) -> None:
        kind = type(error).__name__ if error is not None else ""
        with self._lock:
            del self._running[check.id]
            known, self._failing[check.id] = self._failing.get(check.id, ""), kind
        if error is not None and kind != known:  # once, for it may go on every second
            text = " ".join(str(getattr(error, "orig", error)).split())
            _log.warning(
                "the runbook check %s raised %s: %s", check.id, kind, text, exc_info=_traceback(error)
            )


def _outcome(check: Check, run: _Run) -> Outcome:
    wait([run.future], timeout=max(0.0, run.since + check.timeout_s - time.monotonic()))
    if not run.future.done():
        waited = time.monotonic() - run.since
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
