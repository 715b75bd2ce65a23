"""One tripwire: where it stands and why, its history, its policy, its backtest, its re-arm."""

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import anyio
from markupsafe import Markup
from starlette.responses import Response

from golive import audit, governance, readers, regression
from golive.api.backtests import replayed, stored_policy
from golive.api.page import charts, policy_form, wires
from golive.api.page.doors import Form, Visit
from golive.api.page.fields import line, moment, whole
from golive.api.problems import problem_of
from golive.errors import GoliveError, InvalidArgument, VersionConflict
from golive.events import DOMAIN_MAX, METRIC_MAX
from golive.regression import RegressionStateView, Wire
from golive.regression.backtest import Backtest, default_rules
from golive.tripwire import Observation
from golive.tripwire.levels import levels

_EVENTS: Final = 1_400
_HISTORY: Final = 50
_HEIGHT: Final = 26.0
_PLACES: Final = 160
_EVENTS_A_PLACE: Final = 16
_DONE: Final = {"policy": "The policy was saved.", "rearm": "The tripwire was re-armed."}


class Stream(NamedTuple):
    """Which tripwire."""

    domain: str
    metric: str

    @property
    def path(self) -> str:
        """Return where it is shown."""
        return f"/tripwire?{urlencode(self._asdict())}"


async def show(visit: Visit) -> Response:
    """Show a tripwire."""
    done = visit.request.query_params.get("done", "")
    return await _page(visit, _stream(visit.request.query_params), done=_DONE.get(done))


async def edit(visit: Visit, form: Form) -> Response:
    """Change the policy, if it still is the one that was seen; otherwise show both."""
    stream = _stream(form)

    def change() -> None:
        regression.upsert_policy(
            visit.control.engine,
            domain=stream.domain,
            metric=stream.metric,
            **policy_form.values(form),
            actor=visit.principal.name,
            reason=form.get("reason", ""),
            version=whole(form, "version") or 0,
        )

    try:
        await anyio.to_thread.run_sync(change)
    except VersionConflict:
        return await _page(visit, stream, status=412, form=form, conflict=True)
    except GoliveError as error:
        return await _page(visit, stream, form=form, refusal=error)
    return visit.go_to(f"{stream.path}&done=policy")


async def rearm(visit: Visit, form: Form) -> Response:
    """Release the latch, if it still is the one that was seen."""
    stream = _stream(form)

    def release() -> None:
        regression.rearm(
            visit.control.engine,
            stream.domain,
            stream.metric,
            actor=visit.principal.name,
            reason=form.get("reason", ""),
            version=whole(form, "version"),
            restore_throttle="restore_throttle" in form,
        )

    try:
        await anyio.to_thread.run_sync(release)
    except GoliveError as error:
        return await _page(visit, stream, refusal=error)
    return visit.go_to(f"{stream.path}&done=rearm")


async def backtest(visit: Visit, form: Form) -> Response:
    """Replay the stored events against what was typed, beside the stored policy; nothing is changed."""
    stream = _stream(form)

    def replay() -> dict[str, Any]:
        change = moment(form, "change")
        policy = stored_policy(visit.control.engine, *stream)
        rules = {"what was typed": policy_form.rule(form, policy), **default_rules(policy)}
        events, made = replayed(visit.control.engine, *stream, rules, change=change)
        return {"backtest": _tests(events, made, change), "change": change}

    try:
        found = await anyio.to_thread.run_sync(replay, limiter=visit.control.backtest_threads)
    except InvalidArgument as error:
        return await _page(visit, stream, form=form, refusal=error)
    return await _page(visit, stream, form=form, **found)


class Tested(NamedTuple):
    """What one rule would have made of the events."""

    name: str
    made: Backtest
    strip: Markup


def _tests(
    events: list[Observation], made: Mapping[str, Backtest], change: dt.datetime | None
) -> dict[str, Any]:
    """Return what a chart and a table of the backtests need."""
    first = next(iter(made.values()))
    total = first.events or 1
    changed = None if change is None else first.quiet_events / total
    places = min(max(total // _EVENTS_A_PLACE, 1), _PLACES)
    found = [(level.until / total, level.level) for level in levels(events, first.kind, places)]
    low, high = charts.scale(found, first.kind)
    label = f"The level of the stream over its {first.events} events"
    return {
        "svg": charts.windows(found, first.kind, None, None, label, _HEIGHT) if found else None,
        "kind": first.kind,
        "low": low,
        "high": high,
        "first": first,
        "rows": [
            Tested(name, each, charts.marks([trip.event / total for trip in each.trips], changed,
                                            f"{name}: {len(each.trips)} trips"))
            for name, each in made.items()
        ],
    }  # fmt: skip


async def _page(
    visit: Visit,
    stream: Stream,
    *,
    status: int | None = None,
    form: Form | None = None,
    refusal: GoliveError | None = None,
    **context: Any,
) -> Response:
    look = functools.partial(_look, visit, stream)
    found = await anyio.to_thread.run_sync(look)
    policy = found["wire"].policy
    stored = policy_form.fields(policy)
    typed = None if form is None else policy_form.typed(form)
    problem = None if refusal is None else problem_of(refusal).details
    given: dict[str, Any] = {
        "stream": stream,
        "fields": typed or stored,
        "stored": stored,
        "choices": policy_form.CHOICES,
        "labels": policy_form.LABELS,
        "reason": "" if form is None else form.get("reason", ""),
        "change_text": "" if form is None else form.get("change", ""),
        "seen_version": None if form is None else whole(form, "version"),
        "problem": problem,
        "done": None,
        "conflict": False,
        "backtest": None,
    }
    code = status or (200 if problem is None else problem.status)
    return visit.page("tripwire.html", code, **given | found | context)


def _look(visit: Visit, stream: Stream) -> dict[str, Any]:
    with governance.snapshot(visit.control.engine) as connection:
        known = {tuple(wire.state[:2]): wire for wire in regression.wires(connection)}
        wire = known.get(tuple(stream), Wire(None, RegressionStateView(*stream)))
        history = audit.entries(connection, limit=_HISTORY, target="/".join(stream))
    evidence = wires.evidence_of(wire)
    window = evidence.get("window") if wire.state.triggered else None
    with readers.reading(visit.control.engine) as events:
        drawing = wires.draw(events, wire, _EVENTS, height=_HEIGHT)
        tripped_at = dt.datetime.fromisoformat(window["last_at"]) if window else None
        at_trip = wires.draw(events, wire, _EVENTS, until=tripped_at, height=_HEIGHT) if tripped_at else None
    return {
        "wire": wire,
        "shown": wires.shown(wire, drawing),
        "at_trip": at_trip,
        "evidence": evidence,
        "history": [entry for entry in history if entry.action.startswith("regression_")],
    }


def _stream(fields: Mapping[str, str]) -> Stream:
    domain, metric = line(fields, "domain", DOMAIN_MAX), line(fields, "metric", METRIC_MAX)
    if domain is None or metric is None:
        raise InvalidArgument("domain", "a domain and a metric", "nothing")
    return Stream(domain, metric)
