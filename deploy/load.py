"""A load generator: deals of an invented business through golive's helpers, until it is stopped.

    python -m deploy.load 5          # deals a second

Spans and exemplars go where OTEL_* says.
"""

import contextlib
import random
import sys
import time
from decimal import Decimal

from golive.correlation import correlation
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value
from golive.risk import RiskDenied, risk_reserve_or_raise, risk_settle

ENGINE = "WHOLESALE"


class NoMatch(Exception):
    """No buyer was found."""


def main(deals_a_second: float) -> None:
    """Make deals, spread evenly."""
    number = int(time.time() * 10)  # ids of an earlier run are not used again
    while True:
        number += 1
        with correlation(f"deal_{number}"), contextlib.suppress(NoMatch):
            deal()
        time.sleep(1 / deals_a_second)


def deal() -> None:
    """Make one deal, which goes wrong as deals do."""
    with kpi_timed_step(None, "BUYER_MATCH", "algorithm_run", actor="matcher"):
        time.sleep(random.lognormvariate(-4, 0.6))
        if random.random() < 0.08:
            raise NoMatch("no buyer")
    kpi_success(None, "BUYER_MATCH", "match_success", actor="matcher")
    accepted = random.random() < 0.7
    (kpi_success if accepted else kpi_fail)(None, ENGINE, "offer_accept_rate", actor="broker")
    kpi_value(None, "CAPITAL", "roi_event", random.gauss(3, 2), actor="treasury")
    if random.random() < 0.05:  # the seeded caps are small: these use them up in an hour or so
        book(accepted)


def book(accepted: bool) -> None:
    """Reserve risk for the offer, and settle it: what was declined has cost a little."""
    amount = Decimal(random.randrange(100, 600)).scaleb(-2)
    try:
        made = risk_reserve_or_raise(None, ENGINE, amount, actor="broker", reason="offer")
    except RiskDenied:
        kpi_fail(None, ENGINE, "risk_denied", actor="broker")
        return
    loss = Decimal(0) if accepted else (amount / 20).quantize(Decimal("0.01"))
    risk_settle(None, ENGINE, amount, loss, reservation_id=made.id, actor="broker")


if __name__ == "__main__":
    main(float(sys.argv[1]))
