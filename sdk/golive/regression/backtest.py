"""The backtest: when a candidate policy would have tripped on the events of the past.

from golive.regression import backtest
from golive.tripwire import Rule

events = backtest.stored(db, "WHOLESALE", "contract_rate")
found = backtest.backtest(Rule(max_drop_fraction=0.3), events, change=deployed_at)
found.trips, found.events_to_trip, found.quiet_trips
"""

import datetime as dt
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from golive import readers
from golive.errors import InvalidArgument
from golive.regression.judging import probation_events
from golive.regression.policy import RegressionPolicyView
from golive.tripwire import (
    MODES,
    RATE,
    TRIGGERED,
    Finding,
    Observation,
    PinnedBaseline,
    Rule,
    carries,
    evaluate,
    events_needed,
    kind_of,
    replay,
)
from golive.tripwire.modes import events_for_a_verdict
from golive.tripwire.observations import in_order

__all__ = ["EVENTS_MAX", "Backtest", "Trip", "backtest", "default_rules", "stored"]

EVENTS_MAX: Final = 1_000_000
"""How many stored events are replayed at most: the newest."""
VALUE_EVALUATIONS: Final = 2_000
"""About how many evaluations a stream of values gets; one takes a hundred times as long as one of rates."""
_CHUNK: Final = 8_192


class Trip(NamedTuple):
    """When a wire would have tripped: after how many events, and by which finding."""

    event: int
    at: dt.datetime
    finding: Finding


class Backtest(NamedTuple):
    """What a rule would have made of a stream.

    Attributes:
        rule: The rule.
        kind: `rate` or `value`; None for a stream without either.
        events: How many events there were to judge by.
        every: After how many further events it was judged each time.
        first_at, last_at: When the first and the last of them happened.
        trips: Every trip, where a person re-arms at once each time.
        quiet_events: How many events were before the change; all where none was named.
        quiet_trips: How many trips were.
        events_to_trip: The first trip after the change came with which event after it; None for none.
        seconds_to_trip: How long after the change that was.
    """

    rule: Rule
    kind: str | None
    events: int
    every: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    trips: list[Trip]
    quiet_events: int
    quiet_trips: int
    events_to_trip: int | None
    seconds_to_trip: float | None

    @property
    def quiet_trips_per_10000(self) -> float | None:
        """How often it tripped in 10,000 events before the change; None where there were none."""
        return 10_000 * self.quiet_trips / self.quiet_events if self.quiet_events else None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values only, every trip with its evidence."""
        return {
            "mode": self.rule.mode,
            "kind": self.kind,
            "events": self.events,
            "every": self.every,
            "first_at": self.first_at and self.first_at.isoformat(),
            "last_at": self.last_at and self.last_at.isoformat(),
            "quiet_events": self.quiet_events,
            "quiet_trips": self.quiet_trips,
            "quiet_trips_per_10000": self.quiet_trips_per_10000,
            "events_to_trip": self.events_to_trip,
            "seconds_to_trip": self.seconds_to_trip,
            "trips": [
                {"event": trip.event, "at": trip.at.isoformat(), "finding": trip.finding.as_json()}
                for trip in self.trips
            ],
        }


def default_rules(policy: RegressionPolicyView | None) -> dict[str, Rule]:
    """Return the candidates nobody has to name: the stored policy, if any, and each mode as it comes.

    Raises:
        InvalidArgument: The policy has a figure that cannot be.
    """
    own = {} if policy is None else {"the stored policy": policy.rule()}
    return {**own, **{mode: Rule(mode=mode) for mode in MODES}}


def stored(
    db: object,
    domain: str,
    metric: str,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: int = EVENTS_MAX,
    timeout_s: float = 600.0,
) -> list[Observation]:
    """Return the events of a stream, from the oldest to the newest; the newest `limit` of them.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read within `timeout_s` seconds.
    """
    with readers.reading(db, timeout_s) as events:
        return in_order(events.newest(domain, metric, limit, since=since, until=until))


def backtest(
    rule: Rule,
    observations: Sequence[Observation],
    *,
    change: dt.datetime | None = None,
    every: int | None = None,
    deadline: float | None = None,
) -> Backtest:
    """Replay a stream against a rule, as if it had been evaluated all along.

    After a trip the stream goes on as after a re-arm: what was before counts no more, and the frozen baseline
    is in force for the probation. So the trips are what a person would have seen who re-armed at once.

    Args:
        rule: The rule.
        observations: The events of the stream, in any order; blindness is not asked.
        change: When something changed: trips before it are false ones, the first after it is the answer.
        every: After how many further events to judge again; by default 1 for rates, and for values so many
            that there are about 2,000 evaluations.
        deadline: When to give up, by `time.monotonic()`; never if None.

    Raises:
        InvalidArgument: `every` is no number of events, or too small for the deadline.
    """
    ordered = in_order(observations)
    kind = kind_of(ordered, len(ordered)) if rule.pinned is None else rule.pinned.kind
    events = [event for event in ordered if carries(event, kind)] if kind else []
    if every is None:
        every = 1 if kind == RATE else max(1, len(events) // VALUE_EVALUATIONS)
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InvalidArgument("every", "a number of events", repr(every)[:60])
    trips = list(_trips(rule, events, every, math.inf if deadline is None else deadline))
    quiet = sum(change is None or event.created_at < change for event in events)
    later = next((trip for trip in trips if trip.event > quiet), None)
    return Backtest(
        rule=rule,
        kind=kind,
        events=len(events),
        every=every,
        first_at=events[0].created_at if events else None,
        last_at=events[-1].created_at if events else None,
        trips=trips,
        quiet_events=quiet,
        quiet_trips=sum(trip.event <= quiet for trip in trips),
        events_to_trip=None if later is None else later.event - quiet,
        seconds_to_trip=None if later is None or change is None else (later.at - change).total_seconds(),
    )


def _trips(rule: Rule, events: Sequence[Observation], every: int, deadline: float) -> Iterator[Trip]:
    begin, frozen = 0, None
    while (found := _next(rule, frozen, events, begin, every, deadline)) is not None:
        in_force, end = found
        finding = evaluate(in_force, events[max(begin, end - events_needed(in_force)) : end])
        yield Trip(end, events[end - 1].created_at, finding)
        begin, frozen = end, finding.measured_against


def _next(
    rule: Rule,
    frozen: PinnedBaseline | None,
    events: Sequence[Observation],
    begin: int,
    every: int,
    deadline: float,
) -> tuple[Rule, int] | None:
    """Return by which rule the events from `begin` on trip first, and after which of all of them."""
    rolling_from = begin
    if frozen is not None and rule.pinned is None:
        on_probation = replace(rule, pinned=frozen)
        rolling_from = begin + probation_events(rule) - 1
        end = _first(on_probation, events[:rolling_from], begin, begin, every, deadline)
        if end is not None:
            return on_probation, end
    end = _first(rule, events, begin, rolling_from, every, deadline)
    return None if end is None else (rule, end)


def _first(
    rule: Rule, events: Sequence[Observation], begin: int, judged: int, every: int, deadline: float
) -> int | None:
    """Return after how many events the rule trips first, past `judged`, by those from `begin` on.

    In pieces: what a trip leaves unread must not have been prepared for each of many trips.
    """
    needed = events_needed(rule)
    for start in range(judged, len(events), _CHUNK):
        low = max(begin, start - needed)
        end = low + events_for_a_verdict(rule) - every
        for _, verdict in replay(rule, events[low : start + _CHUNK], every=every):
            end += every
            if time.monotonic() > deadline:
                raise InvalidArgument("every", "fewer evaluations, for these take too long", f"{every}")
            if verdict == TRIGGERED and end > start:
                return end
    return None
