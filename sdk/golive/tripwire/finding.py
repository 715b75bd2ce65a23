"""What an evaluation found, with the evidence it goes by."""

import datetime as dt
from typing import Any, Final, NamedTuple

from golive.tripwire.pinned import PinnedBaseline

OK: Final = "ok"
SUSPECT: Final = "suspect"
TRIGGERED: Final = "triggered"
INSUFFICIENT_DATA: Final = "insufficient_data"
BLIND: Final = "blind"
VERDICTS: Final = (OK, SUSPECT, TRIGGERED, INSUFFICIENT_DATA, BLIND)

FAILING_EVENTS_MAX: Final = 50


class Span(NamedTuple):
    """A run of events that were judged together."""

    n: int
    first_id: int
    first_at: dt.datetime
    last_id: int
    last_at: dt.datetime

    def as_json(self) -> dict[str, Any]:
        """Return the form it is stored in, times in ISO 8601."""
        return self._asdict() | {"first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat()}


class FailingEvent(NamedTuple):
    """An event of the window that speaks for the drop."""

    id: int
    trace_id: str | None


class Finding(NamedTuple):
    """The verdict on a stream, and everything it rests on.

    Attributes:
        verdict: One of `VERDICTS`. Only `ok` is a pass.
        explanation: Why, in one sentence for people.
        mode: Which rule was asked.
        kind: `rate` or `value`; None where no event carries anything.
        counted: How many events were there to judge by, at most `events_needed`.
        baseline: Success rate or mean of the baseline; None where there is none.
        current: The same of the window.
        drop_fraction: (baseline - current) / |baseline|; negative for a rise. None where it is undefined, for
            a baseline of zero and, in `confirmed` mode, a mean that cannot be told from zero.
        evidence: Log-likelihood ratio for "the window is worse than the baseline"; None against a mean that
            was decreed. `threshold` mode does not ask for it, and a reader may.
        p_value: How probable so much evidence is by chance, in this one comparison.
        evidence_needed: `confirmed` mode: the evidence a trip asks for.
        detectable_drop: The smallest relative drop that 400 events of this stream could tell from chance;
            None where not even a collapse can be, and where there is no baseline.
        window: The events compared.
        strongest_window: How many of the newest events are the window with the most evidence: where a fall
            most likely began. In `confirmed` mode `window` is the smallest that has the verdict.
        baseline_span: The events they were compared with; None for a pinned baseline.
        baseline_n: How many events the baseline rests on; None where that is not known.
        pinned: Whether the baseline is the rule's own.
        failures: How many events of the window speak for the drop: the failures, or the values below the
            baseline's mean.
        failing: The first 50 of them: the newest failures, or the lowest values.
        silence_s: Seconds since the last event, while the service was up; None where nobody said the time.
        blind_after_s: After how many the wire is blind; None where the events are too few to tell.
        measured_against: Of a trip, the baseline before `strongest_window`, to be frozen: the one before a
            smaller window may have a part of the fall in it. Not part of `as_json`: its sample is long.
    """

    verdict: str
    explanation: str
    mode: str
    kind: str | None = None
    counted: int = 0
    baseline: float | None = None
    current: float | None = None
    drop_fraction: float | None = None
    evidence: float | None = None
    p_value: float | None = None
    evidence_needed: float | None = None
    detectable_drop: float | None = None
    window: Span | None = None
    strongest_window: int | None = None
    baseline_span: Span | None = None
    baseline_n: int | None = None
    pinned: bool = False
    failures: int = 0
    failing: tuple[FailingEvent, ...] = ()
    silence_s: float | None = None
    blind_after_s: float | None = None
    measured_against: PinnedBaseline | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the evidence record: JSON values only, every number finite."""
        record = self._asdict()
        del record["measured_against"]
        return record | {
            "window": self.window and self.window.as_json(),
            "baseline_span": self.baseline_span and self.baseline_span.as_json(),
            "failing": [event._asdict() for event in self.failing],
        }
