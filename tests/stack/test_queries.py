"""Every query of every dashboard and rule, on servers that hold what golive wrote."""

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from tests.support.service import wait_until
from tests.support.stack import ROOT, Stack
from tests.support.wires import at_rate

pytestmark = pytest.mark.stack

RULES = {
    file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / "dashboards/prometheus/rules").glob("*")
}
BOARDS = [json.loads(file.read_text()) for file in sorted((ROOT / "dashboards/grafana").glob("*.json"))]
WIRE = {"domain": "BUYER_MATCH", "metric": "match_success"}

# Queries that return nothing while all is well, and why.
EMPTY_WHEN_WELL = {
    "Checks that fail": "no check fails",
}
# Metrics no dashboard and no rule names, and why.
NOT_SHOWN: dict[str, str] = {}
PROMETHEUS_OWN = {"up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped"}


def recorded() -> dict[str, str]:
    return {
        rule["record"]: rule["expr"]
        for file in RULES.values()
        for group in file["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def alerts() -> dict[str, str]:
    return {
        rule["alert"]: rule["expr"]
        for file in RULES.values()
        for group in file["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the title of each panel, and each of its queries."""
    for board in BOARDS:
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target


def filled_in(query: str, **values: str) -> str:
    """Return a query as Grafana sends it, with its variables filled in."""
    for name in re.findall(r"\$(\w+)", query):
        query = query.replace(f"${name}", values.get(name, ".*"))
    return query


@pytest.fixture(scope="module")
def busy(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack under `golive replay` and the load generator, with trials and a tripwire that was evaluated."""
    trial = {"domain": "WHOLESALE_OFFER", "success": True, "confidence": 0.95}
    stack.golive.post("/api/governance/heimdall/sandbox/trial", json=trial).raise_for_status()
    events = [WIRE | {"success": ok} for ok in at_rate(0.9, 250)]
    stack.golive.post("/api/governance/regression/kpi", json={"events": events}).raise_for_status()
    policy = WIRE | {"enabled": True, "reason": "week 2", "version": 1}
    stack.golive.post("/api/governance/regression/policies/upsert", json=policy).raise_for_status()
    stack.golive.post("/api/governance/regression/evaluate", json=WIRE).raise_for_status()
    log = event_log(tmp_path_factory.mktemp("log") / "events.csv", seconds=600)
    with stack.program("golive.cli", "replay", log, "--speed", "1"), stack.program("deploy.load", "20"):
        # Two samples are there for each rate, and the rules have looked at them.
        wait_until(lambda: not missing_rules(stack), 120)
        replayed = 'rate(golive_kpi_events_total{domain="OFFERS", outcome="success"}[1m]) > 0'
        wait_until(lambda: stack.prometheus.query(replayed), 60)
        yield stack


def event_log(file: Path, seconds: int) -> Path:
    """Write a log of ten events a second: offers, four of five accepted, and the profit of each tenth."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    with file.open("w") as log:
        log.write("correlation_id,domain,metric,success,value,actor,occurred_at\n")
        for number in range(seconds * 10):
            when = (start + dt.timedelta(seconds=number / 10)).isoformat()
            log.write(
                f"replayed_{number // 5},OFFERS,offer_sent,{str(number % 5 > 0).lower()},,broker,{when}\n"
            )
            if not number % 10:
                log.write(f"replayed_{number // 5},OFFERS,profit,,{number % 70},broker,{when}\n")
    return file


def missing_rules(stack: Stack) -> list[str]:
    return [record for record in recorded() if not stack.prometheus.query(record)]


def test_every_rule_evaluates_without_an_error(busy: Stack) -> None:
    groups = httpx.get(f"{busy.prometheus.url}/api/v1/rules", timeout=10).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(recorded()) + len(alerts())
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_every_recording_rule_returns_data(busy: Stack) -> None:
    assert missing_rules(busy) == []


def test_every_query_of_a_dashboard_returns_data(busy: Stack) -> None:
    def empty() -> set[str]:
        queries = [
            (title, filled_in(target["expr"], __rate_interval="1m"))
            for title, target in panels()
            if "expr" in target
        ]
        assert len(queries) > 40
        return {f"{title}: {query}" for title, query in queries if not busy.prometheus.query(query)}

    wait_until(lambda: {each.split(":")[0] for each in empty()} <= EMPTY_WHEN_WELL.keys(), 60)


def test_every_expression_of_an_alert_runs_and_what_it_looks_at_is_there(busy: Stack) -> None:
    for expression in alerts().values():
        busy.prometheus.query(expression)
        for selector in re.findall(r"[a-z_:]*golive_\w+(?::\w+)?(?:\{[^}]*\})?", expression):
            assert busy.prometheus.query(selector), selector


def test_every_value_a_variable_offers_is_there(busy: Stack) -> None:
    for board in BOARDS:
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
                found = busy.prometheus.query(f"count by ({label}) ({filled_in(selector)})")
                assert [each["metric"][label] for each in found], variable["name"]


def test_the_metrics_named_are_those_that_are_shown(busy: Stack) -> None:
    expressions = [
        *recorded().values(),
        *alerts().values(),
        *(target["expr"] for _, target in panels() if "expr" in target),
    ]
    text = "\n".join(re.sub(r'"[^"]*"', '""', expression) for expression in expressions)
    named = set(
        re.findall(r"\b(golive_\w+|up|ALERTS|scrape_\w+)\b(?!:)", re.sub(r"\b\w+:\w+:\w+\b", "", text))
    )
    shown = metrics(busy)
    assert named - PROMETHEUS_OWN - shown == set()
    assert shown - named == NOT_SHOWN.keys()


def metrics(stack: Stack) -> set[str]:
    """Return the names of the samples golive shows."""
    text = stack.golive.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    return set(re.findall(r"^(golive_\w+)(?=[{ ])", text, re.MULTILINE))


def test_the_exemplars_of_a_panel_lead_to_the_traces_of_rows(busy: Stack) -> None:
    with_exemplars = [target["expr"] for _, target in panels() if target.get("exemplar")]
    assert len(with_exemplars) == 2
    for expression in with_exemplars:
        query = filled_in(expression, __rate_interval="1m")
        wait_until(lambda query=query: busy.prometheus.exemplars(query), 60)
        [first, *_] = busy.prometheus.exemplars(query)
        trace_id = first["exemplars"][0]["labels"]["trace_id"]
        with busy.connect() as connection:
            found = connection.execute("SELECT id FROM kpi_event WHERE trace_id = %s", [trace_id])
            assert found.fetchone() is not None, query


def test_the_correlation_dashboard_reads_an_id_as_the_role_of_grafana(busy: Stack) -> None:
    statements = {title: target["rawSql"] for title, target in panels() if "rawSql" in target}
    assert len(statements) == 3
    with busy.connect() as connection:
        row = connection.execute(
            "SELECT correlation_id, trace_id FROM kpi_event WHERE correlation_id LIKE 'deal_%' AND trace_id IS NOT NULL"
        ).fetchone()
    assert row is not None
    with busy.connect("grafana") as connection:
        for title, statement in statements.items():
            query = statement.replace("${correlation_id:sqlstring}", f"'{row[0]}'").replace(
                "${trace_id:sqlstring}", f"'{row[1]}'"
            )
            assert connection.execute(query.encode()).fetchall(), title
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM api_token")


def test_prometheus_and_the_receiver_ask_for_their_tokens(busy: Stack) -> None:
    assert httpx.get(f"{busy.golive.base_url}/metrics", timeout=10).status_code == 401
    assert httpx.post(f"http://127.0.0.1:{busy.port}/", json={"alerts": []}, timeout=10).status_code == 401


def test_preparing_again_changes_nothing(busy: Stack) -> None:
    before = {file.name: file.read_text() for file in (busy.folder / "secrets").iterdir()}
    for module in ("deploy.make_secrets", "deploy.prepare"):
        command = [sys.executable, "-m", module, str(busy.folder / "secrets")]
        done = subprocess.run(
            command, cwd=ROOT, env=busy.environment, timeout=60, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert {file.name: file.read_text() for file in (busy.folder / "secrets").iterdir()} == before
