"""The rules for Prometheus: what promtool says of them, and what each alert must have."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import installed

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "dashboards" / "prometheus"
RULES = sorted(PROMETHEUS.glob("rules/*.yaml"))
TESTS = sorted(PROMETHEUS.glob("tests/*.yaml"))

ALERTS: list[dict[str, Any]] = [
    rule
    for file in RULES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [installed("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_of_the_documents_is_there_and_no_other() -> None:
    rows = re.findall(
        r"^\| \[`(\w+)`\]\(#\w+\) \| (\w+) \|", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted((alert["alert"], alert["labels"]["severity"]) for alert in ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_what_it_means_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == alert["alert"].lower()
    assert f"\n## {alert['alert']}\n" in (ROOT / page).read_text()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_is_tested_firing_and_silent(alert: dict[str, Any]) -> None:
    expected = [
        bool(case["exp_alerts"])
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert["alert"]
    ]
    assert {True, False} <= set(expected)


def test_every_recording_rule_is_read_and_those_of_a_day_are_made_no_oftener_than_each_minute() -> None:
    boards = "".join(file.read_text() for file in (ROOT / "dashboards" / "grafana").glob("*.json"))
    read = boards + "".join(alert["expr"] for alert in ALERTS)
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    assert rule["record"] in read
                    assert "[1d]" not in rule["expr"] or group.get("interval") == "1m"


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_promtool_finds_no_fault_in_the_rules(file: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", file)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_unit_tests_say(file: Path) -> None:
    promtool("test", "rules", file)
