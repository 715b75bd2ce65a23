"""The regression tripwire as a lever: it reads the events, judges them, and acts once when they fall.

    from golive import regression

    regression.upsert_policy(db, domain="WHOLESALE", metric="contract_rate", enabled=True,
                             actor="ops", reason="week 2")
    found = regression.evaluate_policy(db, "WHOLESALE", "contract_rate")   # or evaluate_all(db)
    if found.tripped:
        print(found.finding.explanation, *found.acts)                      # WHOLESALE is throttled
    regression.rearm(db, "WHOLESALE", "contract_rate", actor="ops", reason="the price feed is mended")

A trip stays until a person re-arms it, whatever later events say. `golive.tripwire` has the statistics,
`docs/tripwire.md` the rules.
"""

from golive.errors import NotRestorable, NoTripwire, NotTripped
from golive.regression.evaluation import Evaluation, evaluate_all, evaluate_policy
from golive.regression.policy import (
    ACTIONS,
    KILL_SWITCH,
    NOTIFY,
    THROTTLE,
    RegressionPolicyView,
    pin_baseline,
    policies,
    upsert_policy,
)
from golive.regression.rearming import rearm
from golive.regression.state import RegressionStateView, states
from golive.regression.wires import Wire, wires

__all__ = [
    "ACTIONS",
    "KILL_SWITCH",
    "NOTIFY",
    "THROTTLE",
    "Evaluation",
    "NoTripwire",
    "NotRestorable",
    "NotTripped",
    "RegressionPolicyView",
    "RegressionStateView",
    "Wire",
    "evaluate_all",
    "evaluate_policy",
    "pin_baseline",
    "policies",
    "rearm",
    "states",
    "upsert_policy",
    "wires",
]
