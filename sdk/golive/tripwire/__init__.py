"""The regression tripwire's statistics: does this stream of outcomes do worse than it did?

    from golive.tripwire import Observation, Rule, evaluate

    rule = Rule(mode="confirmed", max_drop_fraction=0.2)
    finding = evaluate(rule, [Observation(row.id, row.created_at, row.success) for row in newest])
    if finding.verdict == "triggered":
        print(f"{finding.baseline:.0%} before, {finding.current:.0%} now: {finding.as_json()}")

Functions of what they are given, and of nothing else: they read no database, no clock and no setting, never
block, and may be called from any thread. `docs/tripwire.md` has the rules and their proof.
"""

from golive.tripwire.calibration import FALSE_TRIPS, evidence_needed
from golive.tripwire.evaluation import evaluate
from golive.tripwire.finding import (
    BLIND,
    INSUFFICIENT_DATA,
    OK,
    SUSPECT,
    TRIGGERED,
    VERDICTS,
    FailingEvent,
    Finding,
    Span,
)
from golive.tripwire.observations import Observation, carries, kind_of
from golive.tripwire.pinned import PinnedBaseline, pin
from golive.tripwire.replay import replay
from golive.tripwire.rule import CONFIRMED, MODES, RATE, THRESHOLD, VALUE, Rule, events_needed

__all__ = [
    "BLIND",
    "CONFIRMED",
    "FALSE_TRIPS",
    "INSUFFICIENT_DATA",
    "MODES",
    "OK",
    "RATE",
    "SUSPECT",
    "THRESHOLD",
    "TRIGGERED",
    "VALUE",
    "VERDICTS",
    "FailingEvent",
    "Finding",
    "Observation",
    "PinnedBaseline",
    "Rule",
    "Span",
    "carries",
    "evaluate",
    "events_needed",
    "evidence_needed",
    "kind_of",
    "pin",
    "replay",
]
