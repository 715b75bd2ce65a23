"""The confidence charter: no recommendation reaches production that has not earned it.

    from golive.heimdall import (
        NotEligible, heimdall_recommend, heimdall_require_prod_eligible, heimdall_sandbox_trial
    )

    heimdall_sandbox_trial(db, "BUYER_MATCH", success=True, confidence=0.93)        # as many as it takes
    made = heimdall_recommend(db, "BUYER_MATCH", 0.95, {"buyer": 17})               # gated now …
    heimdall_require_prod_eligible(db, made.id)                                # … and at use, or NotEligible

`docs/heimdall.md` has the rules.
"""

from golive.errors import NotEligible
from golive.heimdall.charter import (
    heimdall_promote,
    heimdall_recommend,
    heimdall_require_prod_eligible,
    heimdall_sandbox_trial,
)
from golive.heimdall.gate import Ineligibility, Standing, ineligibility, standings
from golive.heimdall.policy import HeimdallPolicyView, policies, upsert_policy
from golive.heimdall.recommendations import Recommendation, recommendations
from golive.heimdall.scorecard import Scorecard, scorecard

__all__ = [
    "HeimdallPolicyView",
    "Ineligibility",
    "NotEligible",
    "Recommendation",
    "Scorecard",
    "Standing",
    "heimdall_promote",
    "heimdall_recommend",
    "heimdall_require_prod_eligible",
    "heimdall_sandbox_trial",
    "ineligibility",
    "policies",
    "recommendations",
    "scorecard",
    "standings",
    "upsert_policy",
]
