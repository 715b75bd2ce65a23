"""What the events in the store say of one wire; reads only."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from golive.errors import InvalidArgument
from golive.reader import EventReader
from golive.regression import events
from golive.regression.policy import RegressionPolicyView
from golive.regression.state import RegressionStateView
from golive.tripwire import (
    BLIND,
    TRIGGERED,
    Finding,
    Observation,
    PinnedBaseline,
    Rule,
    carries,
    evaluate,
    events_needed,
    kind_of,
)

AHEAD_S: Final = 300.0
"""How far the clocks of those who send events may be ahead of this one's, in seconds. What is stamped later
than that counts once its time has come: until then it would count again after a re-arm, and hide silence."""


class Judgement(NamedTuple):
    """What was found, the newest event it rests on, and whether a probation has ended with it."""

    finding: Finding
    last_event_id: int | None
    probation_over: bool

    def trips(self, policy: RegressionPolicyView) -> bool:
        """Tell whether a wire of this policy trips by it."""
        return is_trip(policy, self.finding.verdict)


def is_trip(policy: RegressionPolicyView, verdict: str | None) -> bool:
    """Tell whether a wire of this policy trips by a verdict."""
    return verdict == TRIGGERED or (verdict == BLIND and policy.trip_when_blind)


def probation_events(rule: Rule) -> int:
    """Return for how many events after a re-arm the frozen baseline stays in force."""
    return rule.window_events + rule.baseline_events


def judge(
    reader: EventReader,
    policy: RegressionPolicyView,
    state: RegressionStateView,
    now: dt.datetime,
    up_since: dt.datetime | None,
) -> Judgement:
    """Judge the newest events of a stream by its policy.

    Events up to the last re-arm do not count, nor does the silence before it. They are compared with the
    policy's pinned baseline; else the one a trip froze, while the wire is tripped and in the probation after;
    else with the events before them.

    Raises:
        InvalidArgument: The policy has a figure that cannot be.
    """
    rule = policy.rule()
    frozen = state.frozen()
    on_probation = not state.triggered and (frozen is not None or state.trips > 0)
    needed = max(events_needed(rule), probation_events(rule) if on_probation else 0)
    pinned = rule.pinned or frozen
    found = events.newest(
        reader,
        policy.domain,
        policy.metric,
        needed,
        kind=None if pinned is None else pinned.kind,
        since=state.rearmed_at,
        until=now + dt.timedelta(seconds=AHEAD_S),
    )
    over = on_probation and _count(found, pinned) >= probation_events(rule)
    if rule.pinned is None and frozen is not None and not over:
        rule = _against(rule, frozen)
    starts = [moment for moment in (up_since, state.rearmed_at) if moment is not None]
    finding = evaluate(rule, found, now=now, up_since=max(starts, default=None))
    return Judgement(finding, found[0].id if found else None, over)


def _against(rule: Rule, frozen: PinnedBaseline) -> Rule:
    try:
        return replace(rule, pinned=frozen)
    except InvalidArgument:  # the mode was changed since, to one that asks for values this baseline has not
        return rule


def _count(found: Sequence[Observation], pinned: PinnedBaseline | None) -> int:
    kind = kind_of(found[::-1], len(found)) if pinned is None else pinned.kind
    return len({event.id for event in found if carries(event, kind)})
