"""A tripwire as the page shows it: where it stands in a word, and its chart with both windows."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from golive.api.page import charts
from golive.api.page.charts import Band
from golive.reader import EventReader
from golive.regression import Wire
from golive.regression.events import newest
from golive.tripwire import Observation, carries, kind_of
from golive.tripwire.levels import levels
from golive.tripwire.observations import in_order

_PLACES: Final = 60
_EVENTS_A_PLACE: Final = 8
"""So that a place tells a rate, and no toss of a coin."""
_TONES: Final = {"ok": "good", "suspect": "warn", "triggered": "bad", "blind": "warn"}
_WORDS: Final = {
    None: "not judged yet",
    "ok": "ok",
    "suspect": "suspect",
    "triggered": "has fallen",
    "insufficient_data": "too few events",
    "blind": "blind",
}


class Drawing(NamedTuple):
    """A chart, and the figures that stand around it."""

    svg: Markup
    kind: str | None
    low: float
    high: float
    first_at: dt.datetime
    last_at: dt.datetime
    events: int


class Shown(NamedTuple):
    """A tripwire on the page."""

    wire: Wire
    word: str
    tone: str
    kind: str | None
    drawing: Drawing | None = None


def shown(wire: Wire, drawing: Drawing | None = None) -> Shown:
    """Return a tripwire with the word for where it stands."""
    state, policy = wire.state, wire.policy
    kind = evidence_of(wire).get("kind")
    if state.triggered:
        word, tone = "tripped", "bad"
    elif not wire.enabled:
        word, tone = "disabled", "off"
    else:
        word, tone = _WORDS.get(state.verdict, str(state.verdict)), _TONES.get(state.verdict or "", "off")
        if policy is not None and policy.shadow:
            word, tone = f"{word}, in shadow", "warn" if tone == "bad" else tone
    return Shown(wire, word, tone, kind or (drawing.kind if drawing else None), drawing)


def evidence_of(wire: Wire) -> Mapping[str, Any]:
    """Return the finding of the last evaluation, or of the trip; empty where there is none."""
    return wire.state.evidence if isinstance(wire.state.evidence, dict) else {}


def draw(
    reader: EventReader, wire: Wire, most: int, *, until: dt.datetime | None = None, height: float = 34.0
) -> Drawing | None:
    """Return the newest events of a stream as a chart; None where it has none.

    Args:
        reader: Reads them.
        wire: Whose stream.
        most: How many events are looked at.
        until: Up to and with when; now by default.
        height: Of the drawing, where its width is 100.
    """
    evidence = evidence_of(wire)
    window_n, baseline_n = _lengths(wire, evidence)
    if until is not None:
        until += dt.timedelta(microseconds=1)
    needed = min(most, window_n + baseline_n)
    found = newest(reader, wire.state.domain, wire.state.metric, needed, until=until)
    ordered = in_order(found)
    kind = evidence.get("kind") or kind_of(ordered, len(ordered))
    if kind is None:
        return None
    events = [event for event in ordered if carries(event, kind)][-needed:]
    if not events:
        return None
    return _drawing(wire, kind, events, evidence, window_n, height)


def _lengths(wire: Wire, evidence: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many events the window and the baseline have."""
    policy = wire.policy
    window = evidence.get("window") or {}
    baseline = evidence.get("baseline_span") or {}
    return (
        window.get("n") or (policy.window_events if policy else 50),
        baseline.get("n") or (policy.baseline_events if policy else 200),
    )


def _drawing(
    wire: Wire,
    kind: str,
    events: Sequence[Observation],
    evidence: Mapping[str, Any],
    window_n: int,
    height: float,
) -> Drawing:
    total = len(events)
    window = _band(evidence.get("window"), events, evidence.get("current"))
    baseline = _band(evidence.get("baseline_span"), events, evidence.get("baseline"))
    if window is None:  # not judged, or so long ago that none of it is shown: where an evaluation would look
        start = max(total - window_n, 0) / total
        window, baseline = Band(start, 1.0, None), Band(0.0, start, None)
    elif baseline is None:  # pinned
        baseline = Band(0.0, window.start, evidence.get("baseline"))
    places = min(max(total // _EVENTS_A_PLACE, 1), _PLACES)
    found = [(level.until / total, level.level) for level in levels(events, kind, places)]
    low, high = charts.scale(found, kind, baseline, window)
    label = _label(wire, kind, total, evidence)
    svg = charts.windows(found, kind, baseline, window, label, height)
    return Drawing(svg, kind, low, high, events[0].created_at, events[-1].created_at, total)


def _band(span: Any, events: Sequence[Observation], level: Any) -> Band | None:
    """Return where a span of the evidence lies among these events; None if nowhere."""
    if not isinstance(span, dict):
        return None
    first, last = (dt.datetime.fromisoformat(span[name]) for name in ("first_at", "last_at"))
    inside = [place for place, event in enumerate(events) if first <= event.created_at <= last]
    if not inside:
        return None
    return Band(inside[0] / len(events), (inside[-1] + 1) / len(events), level)


def _label(wire: Wire, kind: str, total: int, evidence: Mapping[str, Any]) -> str:
    what = "success rate" if kind == "rate" else "mean value"
    style = ".1%" if kind == "rate" else ".4g"
    label = f"The {what} over the last {total} events"
    baseline, current = evidence.get("baseline"), evidence.get("current")
    if baseline is not None and current is not None:
        label += f": {baseline:{style}} in the baseline, {current:{style}} in the window"
    return label
