"""The tripwires' policies: which streams are watched, by which rule, and what a trip does."""

import datetime as dt
import math
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from golive import governance, readers
from golive.errors import InvalidArgument, NoTripwire
from golive.events import check_domain, check_metric
from golive.models import RegressionPolicy
from golive.policies import PolicyTable
from golive.regression import events
from golive.tripwire import PinnedBaseline, Rule, pin

THROTTLE: Final = "THROTTLE"
KILL_SWITCH: Final = "KILL_SWITCH"
NOTIFY: Final = "NOTIFY"
ACTIONS: Final = (THROTTLE, KILL_SWITCH, NOTIFY)

LADDER_MAX: Final = 10
PINNED_EVENTS_MAX: Final = 100_000
"""How many events a baseline is pinned from at most: the newest of the time that was given."""


class RegressionPolicyView(NamedTuple):
    """A policy as it is stored."""

    domain: str
    metric: str
    enabled: bool
    shadow: bool
    mode: str
    window_events: int
    baseline_events: int
    min_events_to_enforce: int
    max_drop_fraction: float
    false_trips: float
    action: str
    throttle_ladder: list[float]
    blind_after_s: float | None
    trip_when_blind: bool
    pinned_baseline: Any
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None

    def rule(self) -> Rule:
        """Return the rule its stream is judged by.

        Raises:
            InvalidArgument: The policy was not written by golive, and has a figure that cannot be, or names
                no act: such a wire would look armed, and do nothing.
        """
        _check_action(self.action)
        _check_ladder(self.throttle_ladder)
        return Rule(
            mode=self.mode,
            window_events=self.window_events,
            baseline_events=self.baseline_events,
            min_events_to_enforce=self.min_events_to_enforce,
            max_drop_fraction=self.max_drop_fraction,
            false_trips=self.false_trips,
            pinned=None if self.pinned_baseline is None else PinnedBaseline.from_json(self.pinned_baseline),
            blind_after_s=self.blind_after_s,
        )


POLICIES: Final = PolicyTable(RegressionPolicy, RegressionPolicyView, ["domain", "metric"])

_DEFAULTS: Final = {
    name: getattr(Rule(), name)
    for name in (
        "mode",
        "window_events",
        "baseline_events",
        "min_events_to_enforce",
        "max_drop_fraction",
        "false_trips",
        "blind_after_s",
    )
}


def policies(connection: Connection) -> list[RegressionPolicyView]:
    """Return every policy, by its domain and metric."""
    return POLICIES.all(connection)


def policy_of(connection: Connection, domain: str, metric: str) -> RegressionPolicyView:
    """Return a policy.

    Raises:
        NoTripwire: There is none.
    """
    found = POLICIES.get(connection, domain, metric)
    if found is None:
        raise NoTripwire(domain, metric)
    return found


def upsert_policy(
    db: object = None,
    *,
    domain: str,
    metric: str,
    enabled: bool | None = None,
    shadow: bool | None = None,
    mode: str | None = None,
    window_events: int | None = None,
    baseline_events: int | None = None,
    min_events_to_enforce: int | None = None,
    max_drop_fraction: float | None = None,
    false_trips: float | None = None,
    action: str | None = None,
    throttle_ladder: list[float] | None = None,
    blind_after_s: float | None = None,
    trip_when_blind: bool | None = None,
    pinned_baseline: PinnedBaseline | None = None,
    unpin: bool = False,
    actor: str,
    reason: str,
    version: int | None = None,
) -> RegressionPolicyView:
    """Make or change the policy of a stream; the next evaluation goes by it.

    What is None stays as it is. A new policy is disabled and in `confirmed` mode, and throttles to 0.

    Args:
        db: What names the database.
        domain: Whose events; THROTTLE lowers the engine of this name.
        metric: Which of them.
        enabled: Whether it is evaluated by itself, and trips.
        shadow: Whether trips are only counted.
        mode, window_events, baseline_events, min_events_to_enforce, max_drop_fraction, false_trips: The rule;
            see `golive.tripwire.Rule`.
        action: `THROTTLE`, `KILL_SWITCH` or `NOTIFY`.
        throttle_ladder: The shares of its caps an engine is lowered to, one a trip: up to 10 falling numbers
            from 0 to below 1. At 0, and below the last, its risk policy is disabled.
        blind_after_s: Seconds without an event after which the wire is blind; 0: from the events' own rhythm.
        trip_when_blind: Whether a blind wire trips as well.
        pinned_baseline: A baseline that stays; `pin_baseline` takes one from stored events.
        unpin: Take the pinned baseline away.
        actor: Who.
        reason: Why.
        version: The version of the policy the decision was made on, 0 for one that is not there yet; None
            to not care.

    Raises:
        InvalidArgument: An argument is not what it has to be.
        VersionConflict: The policy was changed since.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    key = [check_domain(domain), check_metric(metric)]
    if unpin and pinned_baseline is not None:
        raise InvalidArgument("unpin", "False where a baseline is pinned", "True")
    given: dict[str, Any] = {
        "enabled": None if enabled is None else governance.check_flag("enabled", enabled),
        "shadow": None if shadow is None else governance.check_flag("shadow", shadow),
        "mode": mode,
        "window_events": window_events,
        "baseline_events": baseline_events,
        "min_events_to_enforce": min_events_to_enforce,
        "max_drop_fraction": max_drop_fraction,
        "false_trips": false_trips,
        "action": None if action is None else _check_action(action),
        "throttle_ladder": None if throttle_ladder is None else _check_ladder(throttle_ladder),
        "trip_when_blind": (
            None if trip_when_blind is None else governance.check_flag("trip_when_blind", trip_when_blind)
        ),
        "pinned_baseline": None if pinned_baseline is None else pinned_baseline.as_json(),
    }
    values = {name: value for name, value in given.items() if value is not None}
    if blind_after_s is not None:
        values["blind_after_s"] = blind_after_s or None
    if unpin:
        values["pinned_baseline"] = None
    with governance.acting(db) as connection:
        before = POLICIES.get(connection, *key)
        _check_rule(values, before)
        return POLICIES.put(connection, key, values, actor=actor, reason=reason, version=version)


def pin_baseline(
    db: object = None,
    *,
    domain: str,
    metric: str,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    actor: str,
    reason: str,
    version: int | None = None,
) -> RegressionPolicyView:
    """Pin the baseline a stream is compared with to its stored events of a time that was well.

    Args:
        db: What names the database.
        domain: Whose policy, which has to be there.
        metric: Of which metric.
        since: From when on; None for the beginning.
        until: Until before when; None for now. Of more than 100,000 events the newest are taken.
        actor: Who.
        reason: Why.
        version: The version of the policy the decision was made on; None to not care.

    Raises:
        NoTripwire: There is no policy.
        InvalidArgument: The time has fewer than 8 events to judge by.
        VersionConflict: The policy was changed since.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    domain, metric = check_domain(domain), check_metric(metric)
    with governance.reading(db) as connection:
        policy_of(connection, domain, metric)
    with readers.reading(db) as reader:
        found = events.newest(reader, domain, metric, PINNED_EVENTS_MAX, since=since, until=until)
    pinned = pin(found)
    with governance.acting(db) as connection:
        values = {"pinned_baseline": pinned.as_json()}
        _check_rule(values, policy_of(connection, domain, metric))
        return POLICIES.put(
            connection, [domain, metric], values, actor=actor, reason=reason, version=version, action="pin"
        )


def _check_rule(values: dict[str, Any], before: RegressionPolicyView | None) -> None:
    """Raise `InvalidArgument` unless what was decided and what stays make a rule together."""
    there = _DEFAULTS if before is None else {name: getattr(before, name) for name in _DEFAULTS}
    pinned = values.get("pinned_baseline", None if before is None else before.pinned_baseline)
    Rule(
        **{name: values.get(name, stays) for name, stays in there.items()},
        pinned=None if pinned is None else PinnedBaseline.from_json(pinned),
    )


def _check_action(given: object) -> str:
    if given not in ACTIONS:
        raise InvalidArgument("action", " or ".join(ACTIONS), repr(given)[:60])
    return str(given)


def _check_ladder(given: object) -> list[float]:
    steps = given if isinstance(given, list | tuple) else []
    numbers = [
        float(step)
        for step in steps
        if isinstance(step, int | float)
        and not isinstance(step, bool)
        and math.isfinite(step)
        and 0 <= step < 1
    ]
    falling = all(one > next_ for one, next_ in pairwise(numbers))
    if not 1 <= len(numbers) == len(steps) <= LADDER_MAX or not falling:
        raise InvalidArgument(
            "throttle_ladder", f"1 to {LADDER_MAX} falling numbers from 0 to below 1", repr(given)[:60]
        )
    return numbers
