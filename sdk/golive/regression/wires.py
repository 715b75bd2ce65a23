"""Every tripwire with where it stands."""

from typing import NamedTuple

from sqlalchemy import Connection

from golive.regression.policy import POLICIES, RegressionPolicyView
from golive.regression.state import RegressionStateView, states


class Wire(NamedTuple):
    """A policy and the state of its stream; a state whose policy is gone may still be tripped."""

    policy: RegressionPolicyView | None
    state: RegressionStateView

    @property
    def enabled(self) -> bool:
        """Whether it is evaluated by itself, and trips."""
        return self.policy is not None and self.policy.enabled

    @property
    def detectable_drop(self) -> float | None:
        """The smallest drop the last evaluation could have told from chance; while tripped, of the trip."""
        evidence = self.state.evidence
        found = evidence.get("detectable_drop") if isinstance(evidence, dict) else None
        return found if isinstance(found, float | int) else None


def wires(connection: Connection) -> list[Wire]:
    """Return every wire, by its domain and metric."""
    made = {(policy.domain, policy.metric): policy for policy in POLICIES.all(connection)}
    known = {(state.domain, state.metric): state for state in states(connection)}
    return [
        Wire(made.get(key), known.get(key, RegressionStateView(*key)))
        for key in sorted(made.keys() | known.keys())
    ]
