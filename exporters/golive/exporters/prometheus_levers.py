"""The levers as Prometheus gauges: the books of the risk guard, the domains of the charter, the tripwires."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from golive.heimdall import Standing
from golive.regression import Wire
from golive.risk import Book
from golive.tripwire import VERDICTS

_USED = {
    "exposure_used": "What was reserved today",
    "open_risk": "What is reserved and not settled",
    "realized_loss": "What was lost of what was reserved today",
    "actions": "Reservations of today",
    "denials": "Denials of today",
}
_KINDS = ("loss", "exposure", "open_risk", "actions")
"""Of the limits, in the order of `golive.risk.Limits`."""


def risk_gauges(books: Sequence[Book]) -> Iterable[Metric]:
    """Return what each engine has used today, and its limits; a cap that is absent has no series."""
    for name, text in _USED.items():
        gauge = GaugeMetricFamily(f"golive_risk_{name}", text, labels=["engine"])
        for book in books:
            gauge.add_metric([book.engine], _used(book)[name])
        yield gauge
    limit = GaugeMetricFamily(
        "golive_risk_limit", "The cap in force, its throttle applied", labels=["engine", "kind"]
    )
    throttle = GaugeMetricFamily(
        "golive_risk_throttle", "Share of the caps in force; 0 if the engine may not act", labels=["engine"]
    )
    for book in books:
        if book.policy is None:
            continue
        for kind, cap in zip(_KINDS, book.policy.limits(), strict=True):
            if cap is not None:
                limit.add_metric([book.engine, kind], float(cap))
        throttle.add_metric([book.engine], book.policy.throttle if book.policy.enabled else 0.0)
    yield limit
    yield throttle


def charter_gauges(standings: Sequence[Standing]) -> Iterable[Metric]:
    """Return what each domain of the charter has to show; no trials have no success rate."""
    enabled = _charter("prod_use_enabled", "Whether production may use the recommendations of a domain")
    proven = _charter("scorecard_ok", "Whether the sandbox scorecard does for production")
    trials = _charter("sandbox_trials", "Sandbox trials in the days of the scorecard")
    rate = _charter("sandbox_success_ratio", "Share of the sandbox trials that succeeded")
    for policy, card, unproven in standings:
        enabled.add_metric([policy.domain], float(policy.prod_use_enabled))
        proven.add_metric([policy.domain], float(unproven is None))
        trials.add_metric([policy.domain], card.trials)
        if card.success_rate is not None:
            rate.add_metric([policy.domain], card.success_rate)
    return [enabled, proven, trials, rate]


def tripwire_gauges(wires: Sequence[Wire]) -> Iterable[Metric]:
    """Return where each tripwire stands; what was not found yet has no series."""
    enabled = _tripwire("enabled", "Whether the tripwire is evaluated, and trips")
    triggered = _tripwire("triggered", "Whether it is tripped; only a re-arm ends that")
    verdict = _tripwire("verdict", "1 for the verdict of the last evaluation", "verdict")
    drop = _tripwire("drop_ratio", "Share by which the window is below the baseline; negative above it")
    detectable = _tripwire("detectable_drop_ratio", "The smallest drop that could be told from chance")
    checked = _tripwire("evaluated_timestamp_seconds", "When it was last evaluated, Unix time")
    shadow = _tripwire("shadow_trips", "How often it would have tripped, in shadow mode")
    for wire in wires:
        state = wire.state
        labels = [state.domain, state.metric]
        enabled.add_metric(labels, float(wire.enabled))
        triggered.add_metric(labels, float(state.triggered))
        shadow.add_metric(labels, state.shadow_trips)
        for each in VERDICTS if state.verdict is not None else ():
            verdict.add_metric([*labels, each], float(each == state.verdict))
        for gauge, found in ((drop, state.drop_fraction), (detectable, wire.detectable_drop)):
            if found is not None:
                gauge.add_metric(labels, found)
        if state.last_checked_at is not None:
            checked.add_metric(labels, state.last_checked_at.timestamp())
    return [enabled, triggered, verdict, drop, detectable, checked, shadow]


def _tripwire(name: str, text: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"golive_tripwire_{name}", text, labels=["domain", "metric", *more])


def _charter(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"golive_heimdall_{name}", text, labels=["domain"])


def _used(book: Book) -> dict[str, float]:
    ledger = book.ledger
    return {
        "exposure_used": float(ledger.exposure_used),
        "open_risk": float(ledger.open_risk_reserved),
        "realized_loss": float(ledger.realized_loss),
        "actions": ledger.actions_count,
        "denials": ledger.denials,
    }
