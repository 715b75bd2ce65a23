"""A store with a story in it: a desk under way, one stream that fell and tripped, denials, a deal with traces."""

import datetime as dt
import math
import random
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from golive import go_live, governance, heimdall, regression, risk
from golive.errors import RiskDenied
from golive.ids import id_at
from golive.models import KpiEventRow
from golive.models.base import utc_now

DEAL = "deal_4711"
HOSTILE = "<img src=x onerror=alert(1)>\u202e\"'&{{7*7}}<script>document.title='hit'</script>" + "w" * 80
"""Markup, a mark that turns the direction of text, a template's braces, and a word as long as a field."""

# (domain, metric): events a day, success rate at first and lately, or mean and spread of values.
_STREAMS: dict[tuple[str, str], tuple[int, float, float, tuple[float, float] | None]] = {
    ("WHOLESALE", "contract_rate"): (120, 0.62, 0.33, None),
    ("WHOLESALE", "offer_accept_rate"): (140, 0.44, 0.42, None),
    ("WHOLESALE", "offer_sent"): (420, 0.995, 0.995, None),
    ("BUYER_MATCH", "match_success"): (180, 0.81, 0.8, None),
    ("BUYER_MATCH", "algorithm_run"): (180, 0.985, 0.97, None),
    ("CAPITAL", "roi_event"): (36, 0.0, 0.0, (0.11, 0.03)),
    ("CAPITAL", "route_chosen"): (36, 0.96, 0.96, None),
    ("FOLLOWUP", "next_action"): (90, 0.9, 0.91, None),
    ("NOTIFY", "mail_sent"): (700, 0.998, 0.998, None),
    ("PRICING", "quote_age_s"): (240, 0.0, 0.0, (42.0, 9.0)),
}


def tell(url: str, *, days: int = 14, seed: int = 7, now: dt.datetime | None = None) -> None:
    """Write the story into a database that has golive's tables, and nothing else."""
    now = now or utc_now()
    chance = random.Random(seed)
    with governance.engine_for(url).begin() as connection:
        rows = sorted(_events(chance, now, days), key=lambda row: row["created_at"])
        for number, row in enumerate(rows):
            row["id"] = id_at(round(row["created_at"].timestamp() * 1000), number)
        for start in range(0, len(rows), 1000):
            connection.execute(insert(KpiEventRow), rows[start : start + 1000])
    _policies(url)
    _risk(url)
    _charter(url)
    go_live.engage_kill_switch(
        url, actor="token:oncall", reason="offers went out twice after the deploy at 09:10"
    )
    go_live.release_kill_switch(
        url, actor="token:oncall", reason="the retry is idempotent now; checked 200 offers"
    )
    regression.evaluate_all(url)
    for amount in (150, 95, 130):
        with suppress(RiskDenied):
            risk.risk_reserve_or_raise(
                url, "WHOLESALE", Decimal(amount), actor="broker", correlation_id=f"deal_{amount + 4600}"
            )


def burst(url: str, correlation_id: str, events: int) -> None:
    """Write so many events of one correlation id, a second apart."""
    chance, now = random.Random(1), utc_now()
    with governance.engine_for(url).begin() as connection:
        rows = []
        for number in range(events):
            at = now - dt.timedelta(seconds=events - number)
            made = _event(chance, at, "W", "m", True, value=None)
            rows.append(
                made | {"correlation_id": correlation_id, "id": id_at(round(at.timestamp() * 1000), number)}
            )
        connection.execute(insert(KpiEventRow), rows)


def long_ago() -> dt.datetime:
    """Return a time that no preset of the page reaches."""
    return utc_now() - dt.timedelta(days=400)


def hostile_names() -> dict[str, str]:
    """Return what `hostile` calls things."""
    return {
        "domain": _said(HOSTILE)[:32],
        "metric": _said(HOSTILE)[:64],
        "actor": HOSTILE[:64],
        "correlation_id": HOSTILE[:128],
    }


def hostile(url: str) -> dict[str, str]:
    """Put hostile text wherever somebody may put text; return where to look for it."""
    given = hostile_names()
    chance, now = random.Random(1), utc_now()
    with governance.engine_for(url).begin() as connection:
        rows = []
        for number in range(330):
            at = now - dt.timedelta(seconds=400 - number)
            made = _event(chance, at, given["domain"], given["metric"], number < 220, value=None) | given
            if number >= 300:  # of a writer that is not golive, which takes no such marks
                made |= {"domain": HOSTILE[:32], "metric": HOSTILE[:64], "trace_id": "<b>not a trace</b>"}
            detail = HOSTILE if number % 2 else {HOSTILE: [HOSTILE]}
            rows.append(made | {"detail": detail, "id": id_at(round(at.timestamp() * 1000), number)})
        connection.execute(insert(KpiEventRow), rows)
    who: dict[str, Any] = {"actor": _said(HOSTILE)[:128], "reason": _said(HOSTILE)}
    regression.upsert_policy(
        url, domain=given["domain"], metric=given["metric"], enabled=True, mode="threshold", **who
    )
    risk.upsert_policy(
        url, engine=given["domain"], enabled=True, max_daily_loss=5, max_daily_exposure=5, max_open_risk=5,
        max_actions_per_day=5, **who,
    )  # fmt: skip
    heimdall.upsert_policy(
        url, domain=given["domain"], min_confidence_prod=0.5, min_sandbox_trials=0, min_sandbox_success_rate=0.5,
        prod_use_enabled=True, **who,
    )  # fmt: skip
    heimdall.heimdall_recommend(
        url, given["domain"], confidence=0.1, recommendation={}, actor=who["actor"][:64],
        correlation_id=_said(HOSTILE)[:128],
    )  # fmt: skip
    with suppress(RiskDenied):
        risk.risk_reserve_or_raise(url, given["domain"], Decimal(9), actor=who["actor"], reason=who["reason"])
    regression.evaluate_all(url)
    go_live.engage_kill_switch(url, **who)
    go_live.release_kill_switch(url, **who)
    return given


def _said(text: str) -> str:
    """Return text that a governance act takes, which refuses marks of direction."""
    return "".join(character for character in text if character.isprintable())


def _events(chance: random.Random, now: dt.datetime, days: int) -> Iterator[dict[str, Any]]:
    for (domain, metric), (a_day, before, lately, value) in _STREAMS.items():
        for _ in range(a_day * days):
            age_days = chance.random() * days
            at = now - dt.timedelta(days=age_days)
            # A wave a day, by how long ago it was: the story is the same at every hour.
            if chance.random() > 0.55 + 0.45 * math.sin((0.3 - age_days) * 2 * math.pi):
                continue
            rate = lately if age_days < 0.9 else before
            success = None if value else chance.random() < rate
            yield _event(
                chance, at, domain, metric, success, value=chance.gauss(*value) if value else None
            ) | {"duration_ms": chance.lognormvariate(4, 0.8) if metric == "algorithm_run" else None}
    yield from _deal(chance, now - dt.timedelta(minutes=12))


def _deal(chance: random.Random, start: dt.datetime) -> Iterator[dict[str, Any]]:
    first, second = (f"{chance.getrandbits(128):032x}" for _ in range(2))
    for at_s, domain, metric, success, value, took_ms, actor, trace, detail in (
        (0.9, "BUYER_MATCH", "algorithm_run", True, 0.87, 880.0, "matcher", first, {"candidates": 41, "model": "m-12"}),
        (1.4, "BUYER_MATCH", "match_success", True, None, None, "matcher", first, "buyer_77"),
        (2.9, "PRICING", "quote_age_s", None, 31.5, None, "pricing", first, None),
        (4.1, "WHOLESALE", "action_executed", False, None, 1150.0, "broker", first,
         {"error": "TimeoutError", "message": "the partner did not answer within 1 s", "attempt": 1}),
        (6.0, "WHOLESALE", "action_executed", True, None, 1610.0, "broker", second, {"attempt": 2}),
        (6.1, "WHOLESALE", "offer_sent", True, None, None, "broker", second, None),
        (7.4, "NOTIFY", "mail_sent", None, None, 620.0, "mailer", second, None),
        (9.8, "WHOLESALE", "offer_accept_rate", True, None, None, "broker", second, {"offer": "o-9121", "amount": "1250.00"}),
    ):  # fmt: skip
        made = _event(chance, start + dt.timedelta(seconds=at_s), domain, metric, success, value=value)
        yield made | {
            "actor": actor, "correlation_id": DEAL, "trace_id": trace, "detail": detail, "duration_ms": took_ms
        }  # fmt: skip


def _event(
    chance: random.Random,
    at: dt.datetime,
    domain: str,
    metric: str,
    success: bool | None,
    *,
    value: float | None,
) -> dict[str, Any]:
    return {
        "emitter": 1,
        "domain": domain,
        "metric": metric,
        "success": success,
        "value": value,
        "actor": "broker",
        "correlation_id": f"deal_{chance.randrange(10_000)}",
        "detail": None,
        "trace_id": f"{chance.getrandbits(128):032x}",
        "span_id": f"{chance.getrandbits(64):016x}",
        "duration_ms": None,
        "created_at": at,
    }


def _policies(url: str) -> None:
    changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("WHOLESALE", "contract_rate", {"throttle_ladder": [0.5, 0.0]}),
        ("WHOLESALE", "offer_accept_rate", {"shadow": True}),
        ("BUYER_MATCH", "match_success", {"mode": "confirmed"}),
        ("CAPITAL", "roi_event", {"mode": "confirmed"}),
    )
    for domain, metric, change in changes:
        regression.upsert_policy(
            url, domain=domain, metric=metric, enabled=True, actor="token:ops",
            reason="week 2 of the experiment", **change,
        )  # fmt: skip


def _risk(url: str) -> None:
    for engine, amounts in (("WHOLESALE", (120, 95, 80, 140, 60, 210)), ("CAPITAL", (180, 75, 90))):
        for number, amount in enumerate(amounts):
            with suppress(RiskDenied):
                made = risk.risk_reserve_or_raise(
                    url,
                    engine,
                    Decimal(amount),
                    actor="broker",
                    reason="an offer",
                    correlation_id=f"deal_{amount}",
                )
                if number % 3 != 2:
                    risk.risk_settle(
                        url, engine, Decimal(amount), Decimal(amount) / 10, reservation_id=made.id
                    )


def _charter(url: str) -> None:
    # Of its own, for how many events were made before, and so what `chance` says next, goes by the hour of the day.
    chance = random.Random(5)
    for domain, trials, rate in (
        ("WHOLESALE_OFFER", 81, 0.9),
        ("BUYER_MATCH", 56, 0.84),
        ("CAPITAL_ROUTE", 23, 0.8),
    ):
        for _ in range(trials):
            heimdall.heimdall_sandbox_trial(
                url,
                domain,
                success=chance.random() < rate,
                confidence=chance.uniform(0.88, 0.99),
                actor="trainer",
            )
    heimdall.heimdall_promote(
        url, domain="WHOLESALE_OFFER", actor="token:ops", reason="81 trials in the sandbox"
    )
    for confidence in (0.97, 0.71):
        heimdall.heimdall_recommend(
            url, "WHOLESALE_OFFER", confidence=confidence, recommendation={"offer": 1250}, actor="model",
            correlation_id=DEAL,
        )  # fmt: skip
