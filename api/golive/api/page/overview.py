"""The overview: may we go live, what broke, what was denied, what drifted, what changed."""

import datetime as dt
import functools
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import anyio
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from golive import audit, go_live, governance, heimdall, levers, readers, risk
from golive.api.control import Control
from golive.api.page import ranges, wires
from golive.api.page.doors import Visit
from golive.api.page.ranges import Range
from golive.errors import SchemaError
from golive.evaluator import Evaluation
from golive.events import DOMAIN_MAX
from golive.levers import Levers
from golive.runbook import Runbook
from golive.series import Series
from golive.state import State

_log = logging.getLogger(__name__)

STEPS: Final = 48
_WIRES: Final = 60
_CHARTS: Final = 20
_TONES: Final = ("bad", "warn", "good", "off")
_CHART_EVENTS: Final = 300
_SERIES: Final = 60
_CHANGES: Final = 6
_DECISIONS: Final = 200
_DENIALS: Final = 6

_DONE: Final = {
    "go-live-enable": ("Go-live was enabled.", "go_live_enabled", True),
    "go-live-disable": ("Go-live was disabled.", "go_live_enabled", False),
    "kill-switch-engage": (
        "The kill switch was engaged: production is stopped.",
        "kill_switch_engaged",
        True,
    ),
    "kill-switch-release": ("The kill switch was released.", "kill_switch_engaged", False),
}
"""What was done, and what of the state has to be so for it to be said: an old link asks for it as well."""

T = TypeVar("T")


class Headline(NamedTuple):
    """The verdict in one line."""

    word: str
    rest: str
    tone: str


async def show(visit: Visit) -> Response:
    """Show everything whoever visits may see."""
    query = visit.request.query_params
    done = query.get("done", "")
    chosen = ranges.chosen(query)
    domain = query.get("domain", "").replace("\0", "")[:DOMAIN_MAX] or None
    seen: dict[str, Any] = {"levers": None}
    evaluations: list[Evaluation[Runbook]] = []

    async def evaluate() -> None:
        evaluations.append(await visit.control.evaluation(afresh=done in _DONE))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(evaluate)
        if visit.may("read"):
            look = functools.partial(_look, visit.control, chosen, domain)
            seen = await anyio.to_thread.run_sync(look, limiter=visit.control.page_threads)
    runbook = evaluations[0].value
    told = _told(done, seen.get("state"))
    return visit.page("overview.html", runbook=runbook, headline=headline(runbook), done=told, **seen)


def headline(runbook: Runbook) -> Headline:
    """Return the verdict in one line."""
    blockers = [check["id"] for check in runbook["blockers"]]
    warnings = [check["id"] for check in runbook["warnings"]]
    warned = f"{len(warnings)} warning{'s' * (len(warnings) != 1)}: {', '.join(warnings)}"
    blocked = f"{len(blockers)} blocker{'s' * (len(blockers) != 1)}: {', '.join(blockers)}"
    match runbook["verdict"]:
        case "pass":
            return Headline("Go", "every check passes", "good")
        case "warn":
            return Headline("Go", warned, "warn")
        case "fail":
            return Headline("No-go", blocked, "bad")
        case _:
            return Headline("No-go", f"it cannot be determined. {blocked}", "bad")


def _told(done: str, state: State | None) -> str | None:
    """Return what is said of an act that was done; None where the state is not as it left it."""
    text, flag, value = _DONE.get(done, (None, "", None))
    return text if state is not None and getattr(state, flag, None) is value else None


def _look(control: Control, chosen: Range, domain: str | None) -> dict[str, Any]:
    store = _Store()
    stand = store.read(lambda: levers.read(control.engine))
    return {
        "state": store.read(lambda: go_live.read(control.engine)),
        "levers": stand,
        "trail": store.read(lambda: _trail(control)),
        "denials": store.read(lambda: _denials(control)),
        "decisions": _DECISIONS,
        "wires": None if stand is None else store.read(lambda: _wires(control, stand)),
        "wires_left": 0 if stand is None else max(len(stand.tripwires) - _WIRES, 0),
        "charts": _CHARTS,
        "presets": ranges.PRESETS,
        "domain": domain,
        # Last, for it may take longest: a range too long for the deadline takes no other part with it.
        **_rates(store, control, chosen, domain),
    }


class _Store:
    """Reads one part after the other; once the store is away, no further part waits for it."""

    def __init__(self) -> None:
        self.away = False

    def read(self, read: Callable[[], T]) -> T | None:
        """Return what is read; None where it cannot be."""
        if self.away:
            return None
        try:
            return read()
        except (SQLAlchemyError, SchemaError) as error:
            self.away = True
            _log.warning("a part of the page could not be read: %s", type(error).__name__)
            return None


def _wires(control: Control, stand: Levers) -> list[wires.Shown]:
    # Those that need a look first; the rest by name.
    ordered = sorted(map(wires.shown, stand.tripwires), key=lambda each: _TONES.index(each.tone))[:_WIRES]
    with readers.reading(control.engine) as events:
        for number, each in enumerate(ordered[:_CHARTS]):
            ordered[number] = wires.shown(each.wire, wires.draw(events, each.wire, _CHART_EVENTS))
    return ordered


def _trail(control: Control) -> dict[str, Any]:
    with governance.reading(control.engine) as connection:
        last_id, verified_id, found = audit.last_verification(connection)
        return {
            "entries": audit.entries(connection, limit=_CHANGES),
            "last_id": last_id,
            "verified_id": verified_id,
            "found": found,
        }


class Denial(NamedTuple):
    """An action that was not let through."""

    at: dt.datetime
    by: str
    what: str
    reason: str
    actor: str | None
    correlation_id: str | None


def _denials(control: Control) -> list[Denial]:
    with governance.reading(control.engine) as connection:
        refused = [*_risk_denials(connection), *_charter_denials(connection)]
    return sorted(refused, key=lambda denial: denial.at, reverse=True)[:_DENIALS]


def _risk_denials(connection: Connection) -> list[Denial]:
    return [
        Denial(made.created_at, "risk guard", f"{made.engine} {made.amount:,}", made.reason or "", made.actor,
               made.correlation_id)
        for made in risk.decisions(connection, _DECISIONS)
        if not made.ok
    ]  # fmt: skip


def _charter_denials(connection: Connection) -> list[Denial]:
    return [
        Denial(made.created_at, "charter", f"{made.domain} at confidence {made.confidence:g}",
               made.gate_reason or "", made.actor, made.correlation_id)
        for made in heimdall.recommendations(connection, _DECISIONS)
        if not made.prod_eligible
    ]  # fmt: skip


def _rates(store: _Store, control: Control, asked: Range, domain: str | None) -> dict[str, Any]:
    def read() -> tuple[list[Series], dt.datetime | None]:
        with readers.reading(control.engine) as events:
            found = events.series(asked.since, asked.until, STEPS, domain)
            return found, None if found else events.newest_at()

    def together() -> tuple[Range, tuple[list[Series], dt.datetime | None] | None]:
        return asked, store.read(read)

    # Fifty who have the page open ask for nearly the same, and it is most of what the page costs.
    shared = asked.preset and not store.away
    chosen, made = control.page_rates.get((asked.preset, domain), together) if shared else together()
    found, newest = ([], None) if made is None else made
    busiest = sorted(found, key=lambda each: -each.events)[:_SERIES]
    shown = [each for each in found if each in busiest] if len(found) > _SERIES else found
    return {
        "range": chosen,
        "series": None if made is None else shown,
        "series_left": len(found) - len(shown),
        "newest": newest,
        "steps": STEPS,
    }
