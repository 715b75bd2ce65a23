"""The gate as Prometheus gauges: the runbook, the go-live state, the kill switch, and the levers.

state = StateEvaluator(production_gate(url))
registry.register(GateCollector(RunbookEvaluator(url, 1.0), LeversEvaluator(url, 1.0), state))
"""

import datetime as dt
import math
import time
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive import checks
from golive.evaluator import UNEVALUATED, LeversEvaluator, RunbookEvaluator, StateEvaluator
from golive.exporters.prometheus_levers import charter_gauges, risk_gauges, tripwire_gauges
from golive.runbook import STANDARD_CHECKS, Runbook
from golive.state import State

SCRAPE_WAIT_S = 5.0


class GateCollector(Collector):
    """Shows the runbook and the state at a scrape, each read at most once in its interval.

    What cannot be determined is not ok: its gauge is 0, and the kill switch's, of which neither value would
    be true, NaN.

    Args:
        runbooks: Evaluates the runbook.
        levers: Reads the levers, whose gauges are absent while they cannot be read.
        state: Asks for the go-live state.
        wait_s: How long a scrape waits for the database, in seconds.
    """

    def __init__(
        self,
        runbooks: RunbookEvaluator,
        levers: LeversEvaluator,
        state: StateEvaluator,
        wait_s: float = SCRAPE_WAIT_S,
    ) -> None:
        self._runbooks = runbooks
        self._levers = levers
        self._state = state
        self._wait_s = wait_s

    def collect(self) -> Iterable[Metric]:
        """Return the gauges; called by the registry at each scrape."""
        asked_at = time.monotonic()
        # All beside each other, so that a scrape waits for the longest of them, and loses no other to it.
        for evaluator in (self._runbooks, self._state, self._levers):
            evaluator.refresh()
        yield from _runbook_gauges(self._runbooks.latest(self._wait_s, asked_at).value)
        left_s = max(asked_at + self._wait_s - time.monotonic(), 0.0)
        yield from _state_gauges(self._state.latest(left_s, asked_at).value)
        left_s = max(asked_at + self._wait_s - time.monotonic(), 0.0)
        levers = self._levers.latest(left_s, asked_at).value
        yield GaugeMetricFamily(
            "golive_levers_known", "Whether the levers could be read", float(levers is not None)
        )
        if levers is not None:
            yield from risk_gauges(levers.risk)
            yield from charter_gauges(levers.charter)
            yield from tripwire_gauges(levers.tripwires)
        yield self._durations()

    def _durations(self) -> Metric:
        gauge = GaugeMetricFamily(
            "golive_evaluation_duration_seconds", "How long the last evaluation took", labels=["of"]
        )
        took = {"runbook": self._runbooks.took_s, "state": self._state.took_s, "levers": self._levers.took_s}
        for of, seconds in took.items():
            if seconds is not None:
                gauge.add_metric([of], seconds)
        return gauge

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is must not be evaluated just to be registered."""
        return []


def _state_gauges(state: State | None) -> Iterable[Metric]:
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
    if UNEVALUATED not in {report["id"] for report in runbook["blockers"]}:
        yield GaugeMetricFamily(
            "golive_runbook_evaluated_timestamp_seconds",
            "When the runbook was evaluated, Unix time",
            dt.datetime.fromisoformat(runbook["generated_at"]).timestamp(),
        )
