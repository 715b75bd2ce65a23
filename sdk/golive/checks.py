"""The checks of the runbook: what one is, and the registry to which an application adds its own.

from golive.checks import CheckResult, runbook_check

@runbook_check("payments_reachable", severity="BLOCKER", timeout_s=1, action="Call the payments team.")
def payments_reachable(db):            # a Session on golive's database, connected when it is used
    return ping(PAYMENTS).ok           # or a CheckResult(ok, message, detail)

Checks run at once, each in a thread of its own. One that raises or takes longer than its timeout has failed.
"""

import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy.orm import Session

from golive.errors import ConfigurationError

__all__ = ["Check", "CheckRegistry", "CheckResult", "Severity", "registry", "runbook_check"]

Severity = Literal["BLOCKER", "WARNING", "INFO"]
"""A failing BLOCKER keeps production off; a failing WARNING is shown as such; INFO only informs."""

DEFAULT_TIMEOUT_S: Final = 2.0
MAX_TIMEOUT_S: Final = 10.0

STANDARD_IDS: Final = (
    "go_live_checklist",
    "kill_switch_clear",
    "env_sanity",
    "enforcement_expected_in_prod",
    "risk_policies_present",
    "regression_policies_present",
    "heimdall_charter_present",
    "kpi_pipeline_healthy",
    "audit_chain_intact",
    "tripwires_clear",
)
"""The checks golive has itself, in the order of the runbook."""


class CheckResult(NamedTuple):
    """What a check found. `detail` is any JSON value; `message` one sentence for a person."""

    ok: bool
    message: str
    detail: Any = None


CheckAnswer = CheckResult | bool | None
CheckFunction = Callable[[Session], CheckAnswer | Coroutine[Any, Any, CheckAnswer]]
"""Takes a session; returns a result, or whether all is well (None: it is). May be a coroutine function."""


class Check(NamedTuple):
    """A check, and what to do when it fails. `timeout_s` is in seconds."""

    id: str
    severity: Severity
    timeout_s: float
    action: str
    function: CheckFunction


class CheckRegistry:
    """Checks by id, in the order they were added. Any thread may use it.

    Args:
        reserved: Ids no check may have.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved = frozenset(reserved)
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}

    def __iter__(self) -> Iterator[Check]:
        with self._lock:
            return iter(list(self._checks.values()))

    def add(self, check: Check) -> None:
        """Add a check, in place of one of the same function and id.

        Raises:
            ConfigurationError: The id is empty, long or another function's; an argument cannot work.
        """
        if not check.id or len(check.id) > 64 or not check.id.replace("_", "").isalnum():
            raise ConfigurationError(f"id: expected 1 to 64 letters, digits and _, got {check.id!r}")
        if check.severity not in get_args(Severity):
            raise ConfigurationError(
                f"severity: expected one of {get_args(Severity)}, got {check.severity!r}"
            )
        if check.id in self._reserved:
            raise ConfigurationError(f"id: {check.id!r} is a check of golive's own")
        if not 0 < check.timeout_s <= MAX_TIMEOUT_S:
            raise ConfigurationError(
                f"timeout_s: expected over 0 and up to {MAX_TIMEOUT_S:g} seconds, got {check.timeout_s}"
            )
        if not check.action.strip():
            raise ConfigurationError("action: expected what to do when the check fails")
        with self._lock:
            known = self._checks.get(check.id)
            if known is not None and _name(known.function) != _name(check.function):
                raise ConfigurationError(f"id: the runbook has a check {check.id!r} already")
            self._checks[check.id] = check

    def remove(self, check_id: str) -> None:
        """Forget a check; nothing happens if there is none of this id."""
        with self._lock:
            self._checks.pop(check_id, None)


registry: Final = CheckRegistry(reserved=STANDARD_IDS)
"""The checks applications add to those golive has."""


def runbook_check(
    id: str,
    *,
    severity: Severity = "BLOCKER",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    action: str,
) -> Callable[[CheckFunction], CheckFunction]:
    """Add the decorated function to the runbook.

    Args:
        id: Unique; 1 to 64 letters, digits and `_`. It is also the label of the check's gauge.
        severity: What a failure means.
        timeout_s: After how many seconds the check has failed; up to 10.
        action: What a person should do when it fails.

    Raises:
        ConfigurationError: An argument cannot work, or the id is taken.
    """

    def add(function: CheckFunction) -> CheckFunction:
        registry.add(Check(id, severity, timeout_s, action, function))
        return function

    return add


def _name(function: CheckFunction) -> tuple[str, str]:
    """A module that is loaded again registers its checks again."""
    return getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function))
