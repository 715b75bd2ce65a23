"""The gate of the charter: a function of a policy, a scorecard and a confidence, and of nothing else."""

import datetime as dt
from typing import Final, NamedTuple

from sqlalchemy import Connection

from golive.heimdall.policy import HeimdallPolicyView, policies
from golive.heimdall.scorecard import Scorecard, scorecard

POLICY_MISSING: Final = "policy_missing"
PROD_USE_DISABLED: Final = "prod_use_disabled"
CONFIDENCE_TOO_LOW: Final = "confidence_too_low"
TOO_FEW_TRIALS: Final = "too_few_trials"
SUCCESS_RATE_TOO_LOW: Final = "success_rate_too_low"


class Ineligibility(NamedTuple):
    """Why production may not use a recommendation: in one word, and with its figures."""

    reason: str
    explanation: str


class Standing(NamedTuple):
    """A domain's policy, its scorecard, and why that does not do for production yet."""

    policy: HeimdallPolicyView
    scorecard: Scorecard
    unproven: Ineligibility | None


def standings(connection: Connection, today: dt.date) -> list[Standing]:
    """Return where every domain with a policy stands."""
    made = []
    for policy in policies(connection):
        card = scorecard(connection, policy.domain, policy.scorecard_days, today)
        made.append(Standing(policy, card, unproven(policy, card)))
    return made


def ineligibility(
    policy: HeimdallPolicyView | None, card: Scorecard, confidence: float
) -> Ineligibility | None:
    """Return the first reason why production may not use a recommendation; None if it may."""
    if policy is not None and not policy.prod_use_enabled:
        return Ineligibility(PROD_USE_DISABLED, f"{card.domain} is not promoted")
    if policy is not None and confidence < policy.min_confidence_prod:
        asked = f"confidence {confidence:g}, at least {policy.min_confidence_prod:g} is asked for"
        return Ineligibility(CONFIDENCE_TOO_LOW, asked)
    return unproven(policy, card)


def unproven(policy: HeimdallPolicyView | None, card: Scorecard) -> Ineligibility | None:
    """Return why a scorecard does not do yet, whatever is recommended; None if it does."""
    if policy is None:
        return Ineligibility(POLICY_MISSING, f"{card.domain} has no policy")
    days = f"in {policy.scorecard_days} days"
    if card.trials < policy.min_sandbox_trials:
        asked = f"{card.trials} trials {days}, at least {policy.min_sandbox_trials} are asked for"
        return Ineligibility(TOO_FEW_TRIALS, asked)
    rate = card.success_rate or 0.0
    if rate < policy.min_sandbox_success_rate:
        asked = f"success rate {rate:g} {days}, at least {policy.min_sandbox_success_rate:g} is asked for"
        return Ineligibility(SUCCESS_RATE_TOO_LOW, asked)
    return None
