"""The gate as Prometheus gauges: the runbook, the go-live state, the kill switch, and the levers.

registry.register(GateCollector(RunbookEvaluator(url, 1.0), LeversEvaluator(url, 1.0), production_gate(url)))
"""

import datetime as dt
import math
import time
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive import checks
from golive.evaluator import LeversEvaluator, RunbookEvaluator
from golive.exporters.prometheus_levers import charter_gauges, risk_gauges, tripwire_gauges
from golive.production import ProductionGate
from golive.runbook import STANDARD_CHECKS, Runbook

SCRAPE_WAIT_S = 5.0


class GateCollector(Collector):
    """Shows the runbook and the state at a scrape, each read at most once in its interval.

    What cannot be determined is not ok: its gauge is 0, and the kill switch's, of which neither value would
    be true, NaN.

    Args:
        runbooks: Evaluates the runbook.
        levers: Reads the levers, whose gauges are absent while they cannot be read.
        gate: Knows the go-live state.
        wait_s: How long a scrape waits for the database, in seconds.
    """

    def __init__(
        self,
        runbooks: RunbookEvaluator,
        levers: LeversEvaluator,
        gate: ProductionGate,
        wait_s: float = SCRAPE_WAIT_S,
    ) -> None:
        self._runbooks = runbooks
        self._levers = levers
        self._gate = gate
        self._wait_s = wait_s

    def collect(self) -> Iterable[Metric]:
        """Return the gauges; called by the registry at each scrape."""
        until = time.monotonic() + self._wait_s
        self._levers.refresh()  # beside the runbook's evaluation, so that a scrape waits for the longer one
        yield from _runbook_gauges(self._runbooks.latest(self._wait_s).value)
        yield from self._state_gauges()
        levers = self._levers.latest(max(until - time.monotonic(), 0.0)).value
        if levers is not None:
            yield from risk_gauges(levers.risk)
            yield from charter_gauges(levers.charter)
            yield from tripwire_gauges(levers.tripwires)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is must not be evaluated just to be registered."""
        return []

    def _state_gauges(self) -> Iterable[Metric]:
        state = self._gate.state()
        enabled = state is not None and state.go_live_enabled
        engaged = math.nan if state is None else float(state.kill_switch_engaged)
        yield GaugeMetricFamily("golive_go_live_enabled", "Whether go-live is enabled", float(enabled))
        yield GaugeMetricFamily(
            "golive_kill_switch_engaged", "Whether the kill switch is engaged; NaN if unknown", engaged
        )


def _runbook_gauges(runbook: Runbook) -> Iterable[Metric]:
    found = {
        report["id"]: report["ok"]
        for report in [*runbook["blockers"], *runbook["warnings"], *runbook["info"]]
    }
    ok = GaugeMetricFamily(
        "golive_runbook_check_ok", "Whether a check of the runbook passes", labels=["check", "severity"]
    )
    for check in [*STANDARD_CHECKS, *checks.registry]:
        ok.add_metric([check.id, check.severity], float(found.get(check.id, False)))
    yield ok
    yield GaugeMetricFamily(
        "golive_runbook_blockers", "Failing checks of severity BLOCKER", len(runbook["blockers"])
    )
    yield GaugeMetricFamily(
        "golive_runbook_ok_to_enable_go_live",
        "Whether the runbook has no blocker",
        float(runbook["ok_to_enable_go_live"]),
    )
    yield GaugeMetricFamily(
        "golive_runbook_evaluated_timestamp_seconds",
        "When the runbook was evaluated, Unix time",
        dt.datetime.fromisoformat(runbook["generated_at"]).timestamp(),
    )
