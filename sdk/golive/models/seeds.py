"""The rows every store starts with: nothing is enabled but the caps.

The first migration inserts those whose key is not there yet. Rows of later versions
belong in migrations of their own.
"""

from decimal import Decimal
from typing import Any, Final

_BY = {"changed_by": "system", "reason": "Seeded default"}


def _risk(engine: str, loss: int, exposure: int, open_risk: int | None, actions: int) -> dict[str, Any]:
    return {
        "engine": engine,
        "enabled": engine != "NOTIFY",
        "max_daily_loss": Decimal(loss),
        "max_daily_exposure": Decimal(exposure),
        "max_open_risk": None if open_risk is None else Decimal(open_risk),
        "max_actions_per_day": actions,
        **_BY,
    }


def _charter(domain: str, confidence: float, trials: int, success_rate: float) -> dict[str, Any]:
    return {
        "domain": domain,
        "min_confidence_prod": confidence,
        "min_sandbox_trials": trials,
        "min_sandbox_success_rate": success_rate,
        "prod_use_enabled": False,
        **_BY,
    }


def _tripwire(domain: str, metric: str, max_drop: float, action: str) -> dict[str, Any]:
    return {
        "domain": domain,
        "metric": metric,
        "window_events": 50,
        "baseline_events": 200,
        "min_events_to_enforce": 50,
        "max_drop_fraction": max_drop,
        "mode": "threshold",
        "action": action,
        "enabled": False,
        **_BY,
    }


SEEDS: Final[dict[str, tuple[tuple[str, ...], list[dict[str, Any]]]]] = {
    "go_live_state": (("id",), [{"id": 1, "go_live_enabled": False, "kill_switch_engaged": False, **_BY}]),
    "risk_policy": (
        ("engine",),
        [
            _risk("GLOBAL", 250, 1500, None, 1000),
            _risk("WHOLESALE", 200, 1000, 500, 500),
            _risk("CAPITAL", 150, 750, 300, 250),
            _risk("NOTIFY", 0, 0, None, 0),
        ],
    ),
    "heimdall_policy": (
        ("domain",),
        [
            _charter("WHOLESALE_OFFER", 0.92, 75, 0.82),
            _charter("BUYER_MATCH", 0.90, 50, 0.80),
            _charter("CAPITAL_ROUTE", 0.95, 100, 0.85),
            _charter("FOLLOWUP_NEXT_ACTION", 0.90, 60, 0.80),
        ],
    ),
    "regression_policy": (
        ("domain", "metric"),
        [
            _tripwire("WHOLESALE", "contract_rate", 0.20, "THROTTLE"),
            _tripwire("WHOLESALE", "offer_accept_rate", 0.15, "THROTTLE"),
            _tripwire("BUYER_MATCH", "match_success", 0.25, "THROTTLE"),
            _tripwire("CAPITAL", "roi_event", 0.30, "KILL_SWITCH"),
        ],
    ),
}
"""For each table: the columns of its key, and its rows."""
