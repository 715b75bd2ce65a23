"""What a trip does to the other levers, and what a re-arm may give back."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from golive import go_live
from golive.errors import NotRestorable
from golive.regression.policy import KILL_SWITCH, THROTTLE, RegressionPolicyView
from golive.regression.state import RegressionStateView, states, write
from golive.risk.policy import POLICIES as RISK_POLICIES
from golive.risk.policy import RiskPolicyView
from golive.state import read_from

ACTOR: Final = "tripwire"
"""Who acts, in the audit trail."""


class Done(NamedTuple):
    """What was done, in a sentence, and what the engine had before, where it was throttled."""

    text: str
    throttled_from: Any = None


def act(connection: Connection, policy: RegressionPolicyView, step: int, reason: str) -> Done:
    """Do what the policy says a trip does, in the transaction of `governance.acting`.

    Args:
        connection: The transaction.
        policy: Of the wire that trips.
        step: Of its ladder, from 0.
        reason: For the audit trail.
    """
    if policy.action == KILL_SWITCH:
        return _engage(connection, reason)
    if policy.action == THROTTLE:
        return _throttle(connection, policy, step, reason)
    return Done("it was recorded")


def restore(connection: Connection, state: RegressionStateView, actor: str, reason: str) -> Done:
    """Give the engine back what it had before the wire throttled it.

    Raises:
        NotRestorable: The wire throttled nothing, another one that did is still tripped, or somebody has
            changed the engine's policy since.
    """
    kept, engine = state.throttled_from, state.domain
    if kept is None:
        raise NotRestorable(f"{engine}/{state.metric} has throttled nothing: re-arm it without restoring")
    for other in states(connection):
        if (
            other.domain == engine
            and other.metric != state.metric
            and other.triggered
            and other.throttled_from
        ):
            raise NotRestorable(
                f"{engine}/{other.metric} is still tripped, and holds the engine: re-arm it first, or re-arm "
                f"{engine}/{state.metric} without restoring"
            )
    found = RISK_POLICIES.get(connection, engine)
    if found is None or found.version != kept["version"]:
        raise NotRestorable(
            f"the risk policy of {engine} was changed since the trip: re-arm without restoring, and set it "
            "to what it should be"
        )
    values = {"throttle": kept["throttle"], "enabled": kept["enabled"]}
    RISK_POLICIES.put(
        connection, [engine], values, actor=actor, reason=reason, version=None, action="restore"
    )
    for holder in _holders(connection, engine, kept["version"]):
        write(connection, holder, {"throttled_from": None})
    return Done(f"{engine} has its throttle of {kept['throttle']:g} again")


def _engage(connection: Connection, reason: str) -> Done:
    if read_from(connection).kill_switch_engaged:
        return Done("the kill switch was engaged already")
    go_live.change_in(connection, "kill_switch.engage", ACTOR, reason, None, kill_switch_engaged=True)
    return Done("the kill switch was engaged")


def _throttle(connection: Connection, policy: RegressionPolicyView, step: int, reason: str) -> Done:
    engine = policy.domain
    found = RISK_POLICIES.get(connection, engine)
    if found is None:
        return Done(f"{engine} has no risk policy, so there is nothing to throttle")
    lower = next((share for share in policy.throttle_ladder[step:] if share < found.throttle), None)
    values: dict[str, Any] = {"enabled": found.enabled and bool(lower)}
    if lower is not None:
        values["throttle"] = lower
    if all(getattr(found, name) == value for name, value in values.items()):
        # If by another wire, both hold it: neither may give back what the other took, while that is tripped.
        held = next((each.throttled_from for each in _holders(connection, engine, found.version)), None)
        return Done(f"{engine} was disabled already", held)
    made = RISK_POLICIES.put(
        connection, [engine], values, actor=ACTOR, reason=reason, version=None, action="throttle", stops=True
    )
    to = f"{made.throttle:g}" if made.enabled else "nothing: its risk policy is disabled"
    return Done(f"{engine} was throttled from {found.throttle:g} to {to}", _kept(connection, found, made))


def _kept(connection: Connection, before: RiskPolicyView, after: RiskPolicyView) -> dict[str, Any]:
    """Return what the engine had before the first of the wires that hold it; a person's edit ends that."""
    kept: dict[str, Any] = {"throttle": before.throttle, "enabled": before.enabled}
    for holder in _holders(connection, before.engine, before.version):
        kept = {name: holder.throttled_from[name] for name in kept}
        write(connection, holder, {"throttled_from": kept | {"version": after.version}})
    return kept | {"version": after.version}


def _holders(connection: Connection, engine: str, version: int) -> list[RegressionStateView]:
    """Return the wires that throttled an engine whose risk policy has had this version since."""
    return [
        state
        for state in states(connection)
        if state.domain == engine and state.throttled_from and state.throttled_from["version"] == version
    ]
