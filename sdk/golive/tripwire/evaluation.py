"""The evaluation: a rule, the newest events of a stream, and what is found."""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import Final

from golive.tripwire import blind, modes
from golive.tripwire.calibration import LARGEST_WINDOW, evidence_needed
from golive.tripwire.comparison import Comparison, Judgement, Stream
from golive.tripwire.finding import (
    BLIND,
    FAILING_EVENTS_MAX,
    INSUFFICIENT_DATA,
    SUSPECT,
    TRIGGERED,
    FailingEvent,
    Finding,
    Span,
)
from golive.tripwire.observations import RATE, VALUE, Observation, carries, in_order, kind_of
from golive.tripwire.rule import CONFIRMED, Rule, events_needed

_NAMES: Final = {RATE: "success rate", VALUE: "mean"}


def evaluate(
    rule: Rule,
    observations: Iterable[Observation],
    *,
    now: dt.datetime | None = None,
    up_since: dt.datetime | None = None,
) -> Finding:
    """Return what a rule makes of the newest events of a stream.

    The same events give the same finding, in whichever order and however often each is given.

    Args:
        rule: The rule.
        observations: The newest `events_needed(rule)` events that carry what the stream is judged by (see
            `kind_of`), or all there are; times with a time zone. Others among them, and older ones, are left
            out.
        now: What time it is; None where nobody asks whether the wire is blind.
        up_since: Since when the service that emits has been up without a break; silence is counted from then
            at the earliest. None for always.
    """
    ordered = in_order(observations)
    needed = events_needed(rule)
    kind = kind_of(ordered, needed) if rule.pinned is None else rule.pinned.kind
    events = [event for event in ordered if carries(event, kind)][-needed:]
    finding = _judged(rule, kind, events)
    silence = blind.silence_s(ordered[-1].created_at if ordered else None, now, up_since)
    limit = rule.blind_after_s
    if limit is None and finding.verdict != INSUFFICIENT_DATA:
        limit = blind.usual_silence_s(events)
    finding = finding._replace(silence_s=silence, blind_after_s=limit)
    if finding.verdict == TRIGGERED or silence is None or limit is None or silence <= limit:
        return finding
    explanation = f"no event for {silence:.0f} s, where {limit:.0f} s would be plausible"
    return finding._replace(verdict=BLIND, explanation=explanation)


def _judged(rule: Rule, kind: str | None, events: Sequence[Observation]) -> Finding:
    least = modes.events_for_a_verdict(rule)
    if kind is None or len(events) < least:
        explanation = f"{len(events)} events, {least} are needed"
        return Finding(INSUFFICIENT_DATA, explanation, rule.mode, kind, len(events))
    stream = modes.stream_of(rule, kind, events)
    return _finding(rule, stream, events, modes.judge(rule, stream))


def _finding(rule: Rule, stream: Stream, events: Sequence[Observation], judgement: Judgement) -> Finding:
    verdict, made, strongest = judgement
    needed = evidence_needed(rule.false_trips, stream.kind, made.baseline)
    weighs = rule.mode == CONFIRMED
    start = len(events) - made.window
    failing = stream.failing(made)
    evidence = made.evidence if weighs else _evidence(rule, stream, made)
    pinned = rule.pinned is not None
    return Finding(
        verdict=verdict,
        explanation=_explanation(rule, stream.kind, verdict, made),
        mode=rule.mode,
        kind=stream.kind,
        counted=len(events),
        baseline=made.baseline,
        current=made.current,
        drop_fraction=made.drop,
        evidence=evidence,
        p_value=None if evidence is None else math.erfc(math.sqrt(evidence)) / 2,
        evidence_needed=needed if weighs else None,
        detectable_drop=stream.detectable_drop(made, LARGEST_WINDOW, needed),
        window=_span(events[start:]),
        strongest_window=strongest.window,
        baseline_span=None if pinned else _span(events[start - made.before : start]),
        baseline_n=rule.pinned.n if rule.pinned else made.before,
        pinned=pinned,
        failures=len(failing),
        failing=tuple(FailingEvent(event.id, event.trace_id) for event in failing[:FAILING_EVENTS_MAX]),
        measured_against=stream.measured_against(strongest) if verdict == TRIGGERED else None,
    )


def _evidence(rule: Rule, stream: Stream, made: Comparison) -> float | None:
    """Return what `threshold` mode does not ask for, where it can be had."""
    decreed = rule.pinned is not None and stream.kind == VALUE and not rule.pinned.sample
    return None if decreed else stream.evidence(made.window, made.before)


def _span(events: Sequence[Observation]) -> Span:
    first, last = events[0], events[-1]
    return Span(len(events), first.id, first.created_at, last.id, last.created_at)


def _explanation(rule: Rule, kind: str, verdict: str, made: Comparison) -> str:
    """Return the verdict in one sentence for people."""
    style = ".1%" if kind == RATE else "g"
    text = (
        f"{_NAMES[kind]} {made.baseline:{style}} before, {made.current:{style}} over the last {made.window}"
    )
    if made.drop is None:
        text += ": the baseline cannot be told from zero, so a drop has no measure"
    elif made.drop > 0:
        drop = f"{made.drop:.1%}" if made.drop < 100 else "more than 10,000%"
        text += f": a drop of {drop}, {rule.max_drop_fraction:.1%} is the most there may be"
    if rule.mode == CONFIRMED and verdict in (SUSPECT, TRIGGERED):
        needed = evidence_needed(rule.false_trips, kind, made.baseline)
        text += f", with evidence {made.evidence:.1f} of {needed:.1f}"
    return text
