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

from golive import audit, go_live, governance, heimdall, levers, risk
from golive.api.control import Control
from golive.api.page import ranges, wires
from golive.api.page.doors import Visit
from golive.api.page.ranges import Range
from golive.errors import SchemaError
from golive.levers import Levers
from golive.runbook import Runbook
from golive.series import Series, newest_at, series

_log = logging.getLogger(__name__)

STEPS: Final = 48
_CHARTS: Final = 24
_CHART_EVENTS: Final = 300
_SERIES: Final = 60
_CHANGES: Final = 6
_DECISIONS: Final = 200
_DENIALS: Final = 6

_DONE: Final = {
    "go-live-enable": "Go-live was enabled.",
    "go-live-disable": "Go-live was disabled.",
    "kill-switch-engage": "The kill switch was engaged: production is stopped.",
    "kill-switch-release": "The kill switch was released.",
}

T = TypeVar("T")


class Headline(NamedTuple):
    """The verdict in one line."""

    word: str
    rest: str
    tone: str


async def show(visit: Visit) -> Response:
    """Show everything whoever visits may see."""
    query = visit.request.query_params
    done = query.get("done")
    evaluation = await visit.control.evaluation(afresh=done in _DONE)
    context: dict[str, Any] = {
        "runbook": evaluation.value,
        "headline": headline(evaluation.value),
        "done": _DONE.get(done or ""),
    }
    if not visit.may("read"):
        return visit.page("overview.html", levers=None, **context)
    chosen = ranges.chosen(query)
    domain = query.get("domain", "").replace("\0", "")[:32] or None
    look = functools.partial(_look, visit.control, chosen, domain)
    return visit.page("overview.html", **context, **await anyio.to_thread.run_sync(look))


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


def _look(control: Control, chosen: Range, domain: str | None) -> dict[str, Any]:
    stand = _unless_away(lambda: levers.read(control.engine))
    return {
        "state": _unless_away(lambda: go_live.read(control.engine)),
        "levers": stand,
        "wires": _unless_away(lambda: _wires(control, stand)) if stand is not None else None,
        "trail": _unless_away(lambda: _trail(control)),
        "denials": _unless_away(lambda: _denials(control)),
        "range": chosen,
        "presets": ranges.PRESETS,
        "domain": domain,
        **_rates(control, chosen, domain),
    }


def _unless_away(read: Callable[[], T]) -> T | None:
    """Return what is read; None where it cannot be, so that the other parts are shown."""
    try:
        return read()
    except (SQLAlchemyError, SchemaError) as error:
        _log.warning("a part of the page could not be read: %s", type(error).__name__)
        return None


def _wires(control: Control, stand: Levers) -> list[wires.Shown]:
    # Those that need a look first; the rest by name.
    ordered = sorted(stand.tripwires, key=lambda wire: (not wire.state.triggered, not wire.enabled))
    made = []
    with governance.reading(control.events) as connection:
        for number, wire in enumerate(ordered):
            drawing = wires.draw(connection, wire, _CHART_EVENTS) if number < _CHARTS else None
            made.append(wires.shown(wire, drawing))
    return made


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


def _rates(control: Control, chosen: Range, domain: str | None) -> dict[str, Any]:
    def read() -> tuple[list[Series], dt.datetime | None]:
        with governance.reading(control.events) as connection:
            found = series(connection, chosen.since, chosen.until, STEPS, domain)
            return found, None if found else newest_at(connection)

    made = _unless_away(read)
    found, newest = ([], None) if made is None else made
    busiest = sorted(found, key=lambda each: -each.summary.events)[:_SERIES]
    shown = [each for each in found if each in busiest] if len(found) > _SERIES else found
    return {
        "series": None if made is None else shown,
        "series_left": len(found) - len(shown),
        "newest": newest,
        "steps": STEPS,
    }
