"""The runbook: may production be enabled?

from golive.runbook import build_runbook, render_runbook_markdown

runbook = build_runbook(db)
runbook["ok_to_enable_go_live"], runbook["blockers"]
print(render_runbook_markdown(runbook))

Every check fails closed: one that raises, times out or never ran counts as failed.
"""

import os
import threading
from collections.abc import Iterable
from typing import Any, Final, Literal, TypedDict

from sqlalchemy import URL

from golive import checks, governance
from golive._check_runner import CheckRunner, Outcome
from golive._runbook_markdown import render_runbook_markdown
from golive._standard_checks import KILL_SWITCH_CLEAR, STANDARD_CHECKS, kill_switch_of
from golive.models.base import utc_now
from golive.state import State

__all__ = ["STANDARD_CHECKS", "CheckReport", "Runbook", "Verdict", "build_runbook", "render_runbook_markdown"]

Verdict = Literal["pass", "warn", "fail", "inconclusive"]
"""`fail`: a check says no. `inconclusive`: none does, but a BLOCKER could not be determined; as bad as `fail`
for whoever acts on it. `warn`: only warnings."""


class CheckReport(TypedDict):
    """What a check found, and what to do about it."""

    id: str
    ok: bool
    severity: checks.Severity
    message: str
    detail: Any
    action: str


class Runbook(TypedDict):
    """What every check found at one moment."""

    generated_at: str
    """When the evaluation began, ISO 8601 in UTC."""
    ok_to_enable_go_live: bool
    verdict: Verdict
    blockers: list[CheckReport]
    """The failing BLOCKER checks."""
    warnings: list[CheckReport]
    """The failing WARNING checks."""
    info: list[CheckReport]
    """The passing checks, and every INFO check."""


_PROCEED: Final = "Proceed."
_DETERMINE: Final = "Find out why it cannot be determined (the log says more), mend that, and ask again."

_lock = threading.Lock()
_runners: dict[tuple[int, URL], CheckRunner] = {}


def build_runbook(db: object = None) -> Runbook:
    """Evaluate every check now, at once; return after the longest of their timeouts at most.

    Args:
        db: The database: a session, an engine, a URL; None for `DATABASE_URL`.

    Raises:
        ConfigurationError: golive cannot use such a database at all.
    """
    generated_at = utc_now().isoformat()
    outcomes = _runner(db).run([*STANDARD_CHECKS, *checks.registry])
    blockers = [_report(outcome) for outcome in _failing(outcomes, "BLOCKER")]
    return {
        "generated_at": generated_at,
        "ok_to_enable_go_live": not blockers,
        "verdict": _verdict(outcomes),
        "blockers": blockers,
        "warnings": [_report(outcome) for outcome in _failing(outcomes, "WARNING")],
        "info": [_report(o) for o in outcomes if o.result.ok or o.check.severity == "INFO"],
    }


def kill_switch_report(state: State) -> CheckReport:
    """Return what the check `kill_switch_clear` finds in a state that was read already."""
    return _report(Outcome(KILL_SWITCH_CLEAR, kill_switch_of(state)))


def _runner(db: object) -> CheckRunner:
    url = governance.url_of(db)
    key = (os.getpid(), url)  # a check that was under way at a fork never ends in the child
    with _lock:
        if key not in _runners:
            _runners[key] = CheckRunner(governance.engine_for(url))
        return _runners[key]


def _failing(outcomes: Iterable[Outcome], severity: checks.Severity) -> list[Outcome]:
    return [o for o in outcomes if not o.result.ok and o.check.severity == severity]


def _verdict(outcomes: list[Outcome]) -> Verdict:
    blockers = _failing(outcomes, "BLOCKER")
    if any(outcome.determined for outcome in blockers):
        return "fail"
    if blockers:
        return "inconclusive"
    return "warn" if _failing(outcomes, "WARNING") else "pass"


def _report(outcome: Outcome) -> CheckReport:
    check, result = outcome.check, outcome.result
    return {
        "id": check.id,
        "ok": result.ok,
        "severity": check.severity,
        "message": result.message,
        "detail": result.detail,
        "action": _PROCEED if result.ok else check.action if outcome.determined else _DETERMINE,
    }
