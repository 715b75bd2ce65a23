"""What people do before the desk may act: set its caps, and let its model earn production in the sandbox."""

import random
from decimal import Decimal

from examples.deal_desk.service import DESK, LARGE_CENTS, OFFERS

from golive.heimdall import heimdall_promote, heimdall_sandbox_trial
from golive.risk import GLOBAL, upsert_policy

TRIALS = 90
ACTOR = "operator"


def prepare(url: str, seed: int = 1) -> None:
    """Give the desk caps for its amounts, try its model out, and promote it."""
    for engine in (GLOBAL, DESK):
        upsert_policy(
            url,
            engine=engine,
            enabled=True,
            max_daily_loss=10_000,
            max_daily_exposure=50_000_000,
            max_open_risk=Decimal(LARGE_CENTS).scaleb(-2),
            max_actions_per_day=100_000,
            actor=ACTOR,
            reason="the desk deals in thousands",
        )
    trials = random.Random(seed)
    for _ in range(TRIALS):
        success = trials.random() < 0.92
        heimdall_sandbox_trial(url, OFFERS, success=success, confidence=0.95, actor=ACTOR)
    heimdall_promote(url, domain=OFFERS, actor=ACTOR, reason=f"{TRIALS} trials in the sandbox")
