"""From a cause to the webhook and back, through a real Prometheus and a real Alertmanager."""

import datetime as dt
import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.service import wait_until
from tests.support.stack import Stack
from tests.support.wires import at_rate

pytestmark = pytest.mark.stack

GO_LIVE = "/api/governance/go-live"
REGRESSION = "/api/governance/regression"
WIRE = {"domain": "WHOLESALE", "metric": "contract_rate"}

WITHIN_S = 150.0
"""Scrape, evaluation, `for` and group_interval of a resolution: with room for a busy machine."""


def told(stack: Stack, status: str, alert: str, **labels: str) -> dict[str, Any] | None:
    wanted = {"alertname": alert} | labels
    found = [
        each for each in stack.told() if each["status"] == status and each["labels"].items() >= wanted.items()
    ]
    return found[0] if found else None


def post(stack: Stack, path: str, **body: Any) -> Any:
    answer = stack.golive.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def fail_a_check(stack: Stack) -> None:
    with stack.connect() as connection:
        connection.execute("CREATE TABLE kept AS TABLE risk_policy")
        connection.execute("DELETE FROM risk_policy")


def mend_the_check(stack: Stack) -> None:
    with stack.connect() as connection:
        connection.execute("INSERT INTO risk_policy TABLE kept")
        connection.execute("DROP TABLE kept")


def trip(stack: Stack) -> None:
    events = [WIRE | {"success": ok} for ok in at_rate(0.95, 200) + at_rate(0.6, 50)]
    post(
        stack,
        f"{REGRESSION}/policies/upsert",
        **WIRE,
        enabled=True,
        action="NOTIFY",
        reason="week 2",
        version=1,
    )
    post(stack, f"{REGRESSION}/kpi", events=events)

    def tripped() -> bool:
        answer = post(stack, f"{REGRESSION}/evaluate", **WIRE)
        return bool(answer["evaluations"][0]["triggered"])

    wait_until(tripped)


def rearm(stack: Stack) -> None:
    states = stack.golive.get(f"{REGRESSION}/state").json()["states"]
    [version] = [each["version"] for each in states if each["metric"] == WIRE["metric"]]
    post(stack, f"{REGRESSION}/rearm", **WIRE, reason="the price feed is mended", version=version)


def engage(stack: Stack) -> None:
    post(stack, f"{GO_LIVE}/kill-switch/engage", reason="offers go out twice")


def release(stack: Stack) -> None:
    version = stack.golive.get(f"{GO_LIVE}/state").json()["version"]
    post(stack, f"{GO_LIVE}/kill-switch/release", reason="mended", version=version)


def follows(alert: str, **labels: str) -> dict[str, dict[str, str]]:
    return {"labels": {"alertname": alert, "job": "other"} | labels}


# What silences an alert, the alert it silences, and one that is told all the same.
INHIBITED = [
    (
        follows("GoliveDown"),
        follows("RunbookEvaluationStale", severity="warning"),
        follows("SpoolBacklog", severity="warning"),
    ),
    (
        follows("KillSwitchEngaged"),
        follows("RunbookBlocked", check="kill_switch_clear"),
        follows("RunbookBlocked", check="env_sanity"),
    ),
    (
        follows("KillSwitchEngaged"),
        follows("KpiSuccessRateDrop", domain="A", metric="m"),
        follows("TripwireTriggered", domain="A", metric="n"),
    ),
    (
        follows("TripwireTriggered", domain="B", metric="m"),
        follows("KpiSuccessRateDrop", domain="B", metric="m"),
        follows("RiskCapNearlyUsed", engine="B"),
    ),
]

CAUSES: dict[str, tuple[dict[str, str], Callable[[Stack], None], Callable[[Stack], None]]] = {
    "RunbookBlocked": ({"check": "risk_policies_present"}, fail_a_check, mend_the_check),
    "KillSwitchEngaged": ({}, engage, release),
    "TripwireTriggered": (WIRE, trip, rearm),
}


def test_each_cause_reaches_the_webhook_and_so_does_its_mend(
    stack: Stack, capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    up = 'up{job="golive"} == 1 and on () count(golive_kill_switch_engaged == 0)'
    wait_until(lambda: stack.prometheus.query(up), 60)
    took: dict[str, dict[str, float]] = {alert: {} for alert in CAUSES}

    def follow(alert: str, status: str, act: Callable[[Stack], None]) -> None:
        act(stack)
        began = time.time()
        labels = CAUSES[alert][0]
        wait_until(lambda: told(stack, status, alert, **labels), WITHIN_S)
        found = told(stack, status, alert, **labels)
        assert found is not None
        took[alert][status] = found["at"] - began

    def all_at_once(status: str, act: int) -> None:
        threads = [
            threading.Thread(target=follow, args=(alert, status, CAUSES[alert][act])) for alert in CAUSES
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(status in took[alert] for alert in CAUSES), took

    all_at_once("firing", 1)
    # Long enough for the check of the kill switch to fire as well, were it not inhibited by its cause.
    inhibited = 'ALERTS{alertname="RunbookBlocked", check="kill_switch_clear", alertstate="firing"}'
    wait_until(lambda: stack.prometheus.query(inhibited), 90)
    all_at_once("resolved", 2)

    for alert, seconds in took.items():
        record_property(alert, seconds)
        with capsys.disabled():
            firing, resolved = seconds["firing"], seconds["resolved"]
            print(
                f"\n{alert}: the webhook had it {firing:.1f} s after the cause, {resolved:.1f} s after the mend"
            )

    assert told(stack, "firing", "RunbookBlocked", check="kill_switch_clear") is None
    for alert, (labels, *_) in CAUSES.items():
        found = told(stack, "firing", alert, **labels)
        assert found is not None
        assert found["receiver"] == "on-call"
        assert found["runbook_url"] == f"docs/alerts.md#{alert.lower()}"


@pytest.mark.parametrize(("cause", "silenced", "told_all_the_same"), INHIBITED)
def test_what_follows_from_an_alert_is_silenced_and_nothing_else(
    stack: Stack, cause: dict[str, Any], silenced: dict[str, Any], told_all_the_same: dict[str, Any]
) -> None:
    api = f"{stack.alertmanager}/api/v2/alerts"
    httpx.post(api, json=[cause, silenced, told_all_the_same], timeout=10).raise_for_status()

    def states() -> dict[str, str]:
        found = httpx.get(api, timeout=10).json()
        return {json.dumps(each["labels"], sort_keys=True): each["status"]["state"] for each in found}

    def state(alert: dict[str, Any]) -> str | None:
        return states().get(json.dumps(alert["labels"], sort_keys=True))

    wait_until(lambda: state(silenced) == "suppressed", 60)
    assert state(cause) == "active"
    assert state(told_all_the_same) == "active"
    ended = {"endsAt": dt.datetime.now(dt.UTC).isoformat()}
    resolved = [alert | ended for alert in (cause, silenced, told_all_the_same)]
    httpx.post(api, json=resolved, timeout=10).raise_for_status()


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "team")])
def test_the_receiver_follows_from_the_severity(stack: Stack, severity: str, receiver: str) -> None:
    command = ["amtool", "config", "routes", "test", f"--config.file={stack.folder / 'alertmanager.yml'}"]
    done = subprocess.run([*command, f"severity={severity}"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == receiver, done.stderr
