"""What Prometheus sees is what happened."""

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from golive import database, go_live, governance, names, pipeline
from golive.exporters.prometheus import KpiCollector, render
from golive.heimdall import heimdall_sandbox_trial
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value
from golive.risk import RiskDenied, policies, risk_reserve_or_raise, risk_settle, upsert_policy
from golive.runbook import STANDARD_CHECKS
from tests.contract.conftest import Golive
from tests.support.prometheus import prometheus, promtool_problems
from tests.support.service import golive_serve, serving, token, wait_until
from tests.support.stores import one_store

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
KPI = "/api/governance/regression/kpi"


def scraped(accept: str = "") -> str:
    registry = CollectorRegistry()
    registry.register(KpiCollector())
    return render(registry, accept)[0].decode()


def samples(text: str) -> dict[str, float]:
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def client(production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    with serving(production, anonymous=frozenset({"runbook", "metrics"})) as opened:
        opened.headers.update(token(production, "read", "ingest", "operate"))
        yield opened


def test_the_metrics_are_those_of_the_design_and_agree_with_opentelemetrys(golive: Golive) -> None:
    for _ in range(3):
        kpi_success(None, "WHOLESALE", "offer_sent")
    kpi_fail(None, "WHOLESALE", "offer_sent")
    kpi_value(None, "CAPITAL", "roi_event", -300)
    kpi_value(None, "CAPITAL", "roi_event", 500)
    with kpi_timed_step(None, "BUYER_MATCH", "algorithm_run"):
        time.sleep(0.03)
    golive.rows()
    wait_until(lambda: "golive_spool_events 0.0" in scraped())
    found = samples(scraped())
    assert (
        found['golive_kpi_events_total{"domain": "WHOLESALE", "metric": "offer_sent", "outcome": "success"}']
        == 3
    )
    assert (
        found['golive_kpi_events_total{"domain": "WHOLESALE", "metric": "offer_sent", "outcome": "failure"}']
        == 1
    )
    assert found['golive_kpi_value_sum{"domain": "CAPITAL", "metric": "roi_event"}'] == 200
    assert found['golive_kpi_value_count{"domain": "CAPITAL", "metric": "roi_event"}'] == 2
    assert found['golive_kpi_value_last{"domain": "CAPITAL", "metric": "roi_event"}'] == 500
    labels = '"domain": "BUYER_MATCH", "le": "{}", "metric": "algorithm_run", "outcome": "success"'
    bucket = "golive_kpi_step_duration_seconds_bucket{{{}}}"
    assert found[bucket.format(labels.format("0.025"))] == 0
    assert found[bucket.format(labels.format("10.0"))] == 1
    assert found["golive_exported_events_total{}"] == 7
    for (domain, metric, outcome), count in golive.counter().items():
        name = json.dumps({"domain": domain, "metric": metric, "outcome": outcome}, sort_keys=True)
        assert found[f"golive_kpi_events_total{name}"] == count
    assert promtool_problems(scraped()) == ""


def test_every_reason_to_discard_is_there_from_the_start_at_zero(golive: Golive) -> None:
    # An increase is seen only in a series that was there before it.
    found = samples(scraped())
    for reason in names.DISCARDS:
        assert found[f'golive_discarded_events_total{{"reason": "{reason}"}}'] == 0


def test_every_discarded_event_shows_with_its_reason(golive: Golive) -> None:
    from sqlalchemy.orm import Session

    with Session(golive.engine) as session:
        session.execute(text("INSERT INTO deal (id, name) VALUES (1, 'x')"))
        kpi_success(session, "W", "sent")
        session.rollback()
    assert samples(scraped())['golive_discarded_events_total{"reason": "rollback"}'] == 1


def test_exemplars_lead_to_the_trace_of_a_recent_event(golive: Golive) -> None:
    kpi_success(None, "WHOLESALE", "offer_sent")
    with kpi_timed_step(None, "BUYER_MATCH", "algorithm_run"):
        time.sleep(0.02)
    rows = {row.metric: row for row in golive.rows()}
    exemplars = {
        (sample.name, sample.labels.get("le")): sample.exemplar
        for family in open_metrics(scraped(OPEN_METRICS))  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {name for name, _ in exemplars} == {
        "golive_kpi_events_total",
        "golive_kpi_step_duration_seconds_bucket",
    }
    [(bucket, exemplar)] = [item for item in exemplars.items() if item[0][1] is not None]
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": rows["algorithm_run"].trace_id}
    assert exemplar.value <= float(bucket[1] or 0)
    assert exemplar.value == pytest.approx(rows["algorithm_run"].duration_ms / 1000, rel=1e-3)


def test_names_from_outside_cannot_break_the_exposition(golive: Golive) -> None:
    hostile = 'a"b\\c}{,=# é'
    kpi_success(None, hostile, hostile)
    golive.rows()
    for accept, parse in (("", text_string_to_metric_families), (OPEN_METRICS, open_metrics)):
        found = {
            (sample.labels["domain"], sample.labels["metric"])
            for family in parse(scraped(accept))
            for sample in family.samples
            if sample.name == "golive_kpi_events_total"
        }
        assert found == {(hostile, hostile)}
    assert promtool_problems(scraped()) == ""


def test_the_whole_of_metrics_is_clean_and_complete(client: httpx.Client) -> None:
    client.post(KPI, json={"domain": "W", "metric": "sent", "success": True}).raise_for_status()
    answer = client.get("/metrics")
    assert promtool_problems(answer.text) == ""
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert names >= {
        "golive_kpi_events",
        "golive_runbook_blockers",
        "golive_runbook_check_ok",
        "golive_runbook_ok_to_enable_go_live",
        "golive_runbook_evaluated_timestamp_seconds",
        "golive_evaluation_duration_seconds",
        "golive_go_live_enabled",
        "golive_kill_switch_engaged",
        "golive_spool_events",
        "golive_spool_oldest_age_seconds",
        "golive_exported_events",
        "golive_discarded_events",
        "golive_risk_exposure_used",
        "golive_risk_open_risk",
        "golive_risk_realized_loss",
        "golive_risk_limit",
        "golive_heimdall_scorecard_ok",
    }
    documented = DOCUMENT.read_text()
    assert [name for name in names if f"`{name}" not in documented] == []
    checks = {
        sample.labels["check"]: sample.labels["severity"]
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "golive_runbook_check_ok"
    }
    assert checks == {check.id: check.severity for check in STANDARD_CHECKS}
    assert answer.headers["content-type"].startswith("text/plain; version=")
    form = client.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert form.headers["content-type"].startswith("application/openmetrics-text")
    assert form.text.endswith("# EOF\n")


BREAK = {
    "kill_switch_clear": ("UPDATE go_live_state SET kill_switch_engaged = {true}", "UPDATE go_live_state SET kill_switch_engaged = {false}"),
    "risk_policies_present": ("UPDATE risk_policy SET engine = 'WORLD' WHERE engine = 'GLOBAL'", "UPDATE risk_policy SET engine = 'GLOBAL' WHERE engine = 'WORLD'"),
    "tripwires_clear": (
        "INSERT INTO regression_state (domain, metric, triggered, trips, shadow_trips, version) VALUES ('C', 'r', {true}, 1, 0, 1)",
        "DELETE FROM regression_state WHERE domain = 'C'",
    ),
    "audit_chain_intact": ("UPDATE governance_audit SET actor = 'x' WHERE id = 1", None),
}  # fmt: skip


@one_store
def test_the_gauge_of_each_check_follows_reality_within_an_interval(
    client: httpx.Client, production: str
) -> None:
    words = (
        {"true": "1", "false": "0"} if production.startswith("sqlite") else {"true": "true", "false": "false"}
    )

    def gauge(check: str) -> float:
        found = samples(client.get("/metrics").text)
        [value] = [found[name] for name in found if f'"check": "{check}"' in name]
        return value

    def execute(statement: str) -> None:
        with governance.engine_for(production).begin() as connection:
            connection.execute(text(statement.format(**words)))

    for check, (breaking, mending) in BREAK.items():
        assert gauge(check) == 1
        for statement, value in ((breaking, 0), (mending, 1)):
            if statement is not None:
                execute(statement)
                wait_until(lambda check=check, value=value: gauge(check) == value, 1.5)


def test_the_gauges_of_the_levers_follow_reality_within_an_interval(
    client: httpx.Client, production: str
) -> None:
    def now() -> dict[str, float]:
        found = samples(client.get("/metrics").text)
        return {name.removeprefix("golive_"): value for name, value in found.items()}

    wholesale, buyers = '{"engine": "WHOLESALE"}', '{"domain": "BUYER_MATCH"}'
    limit = 'risk_limit{{"engine": "WHOLESALE", "kind": "{}"}}'
    before = now()
    assert before[f"risk_exposure_used{wholesale}"] == before[f"heimdall_sandbox_trials{buyers}"] == 0
    assert f"heimdall_sandbox_success_ratio{buyers}" not in before
    assert (before[limit.format("loss")], before[limit.format("actions")]) == (200, 500)
    assert before['risk_throttle{"engine": "NOTIFY"}'] == 0

    kept = risk_reserve_or_raise(production, "WHOLESALE", Decimal("120.50"))
    risk_reserve_or_raise(production, "WHOLESALE", 30)
    with pytest.raises(RiskDenied):
        risk_reserve_or_raise(production, "WHOLESALE", 400)
    risk_settle(production, "WHOLESALE", kept.amount, Decimal("3.55"), reservation_id=kept.id)
    change_throttle(production, 0.5)
    for success in (True, True, False, True):
        heimdall_sandbox_trial(production, "BUYER_MATCH", success=success, confidence=0.9)
    wait_until(lambda: now()[f"heimdall_sandbox_trials{buyers}"] == 4, 1.5)
    after = now()
    for name, value in {
        f"risk_exposure_used{wholesale}": 150.5,
        'risk_exposure_used{"engine": "GLOBAL"}': 150.5,
        f"risk_open_risk{wholesale}": 30,
        f"risk_realized_loss{wholesale}": 3.55,
        f"risk_actions{wholesale}": 2,
        f"risk_denials{wholesale}": 1,
        f"risk_throttle{wholesale}": 0.5,
        limit.format("open_risk"): 250,
        f"heimdall_sandbox_success_ratio{buyers}": 0.75,
        f"heimdall_scorecard_ok{buyers}": 0,
        f"heimdall_prod_use_enabled{buyers}": 0,
    }.items():
        assert after[name] == value, name


def change_throttle(url: str, throttle: float) -> None:
    with governance.reading(url) as connection:
        [policy] = [found for found in policies(connection) if found.engine == "WHOLESALE"]
    values = policy._asdict() | {"throttle": throttle}
    for known in ("changed_by", "reason", "updated_at", "version"):
        del values[known]
    upsert_policy(url, **values, actor="ops", reason="half")


def test_with_the_levers_unreadable_their_gauges_are_absent_and_not_stale_and_one_says_so(
    client: httpx.Client, production: str
) -> None:
    text_before = client.get("/metrics").text
    assert "golive_risk_limit{" in text_before
    assert "golive_levers_known 1.0" in text_before
    with governance.engine_for(production).begin() as connection:
        connection.execute(text("ALTER TABLE risk_ledger_day RENAME TO elsewhere"))
    wait_until(lambda: "golive_risk_limit{" not in client.get("/metrics").text, 1.5)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "golive_levers_known 0.0" in answer.text


def test_the_time_of_the_evaluation_is_exposed_and_is_that_of_one_evaluation_an_interval(
    client: httpx.Client,
) -> None:
    stamps = set()
    began = time.time()
    while time.time() - began < 2.5:
        found = samples(client.get("/metrics").text)
        stamps.add(found["golive_runbook_evaluated_timestamp_seconds{}"])
        assert time.time() - found["golive_runbook_evaluated_timestamp_seconds{}"] < 2
    assert 2 <= len(stamps) <= 4


@pytest.mark.stack
def test_a_real_prometheus_scrapes_gauges_counters_and_exemplars(
    client: httpx.Client, production: str, tmp_path: Path
) -> None:
    port = client.base_url.port
    with prometheus(tmp_path, f"127.0.0.1:{port}") as server:
        for number in range(50):
            client.post(
                KPI, json={"domain": "W", "metric": "sent", "success": number % 5 > 0}
            ).raise_for_status()
        pipeline.configure(
            database.normalise_url(production), tracer_provider=TracerProvider(shutdown_on_exit=False)
        )
        kpi_success(None, "W", "traced")
        assert pipeline.flush(20)
        wait_until(lambda: server.value('sum(golive_kpi_events_total{metric="sent"})') == 50, 10)
        wait_until(lambda: server.value("golive_runbook_ok_to_enable_go_live") == 1, 10)
        assert server.value("up") == 1
        [found] = server.exemplars('golive_kpi_events_total{metric="traced"}')
        assert len(found["exemplars"][0]["labels"]["trace_id"]) == 32
        go_live.engage_kill_switch(production, actor="ops", reason="now")
        wait_until(lambda: server.value('golive_runbook_check_ok{check="kill_switch_clear"}') == 0, 5)
        assert server.value("golive_kill_switch_engaged") == 1
        assert server.value('golive_risk_limit{engine="GLOBAL", kind="exposure"}') == 1500
        wait_until(lambda: server.value("golive_runbook_blockers") == 1, 5)


@pytest.mark.faults
def test_four_workers_under_load_add_up_to_the_rows(
    production: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    shell = environment | {"DATABASE_URL": production, "GOLIVE_ANONYMOUS": "metrics"}
    headers = token(production, "ingest", "operate")
    sent = [0] * 6
    with golive_serve(tmp_path, shell, "--workers", "4") as (url, _, _):
        stopping = threading.Event()
        totals: list[float] = []

        def total() -> float:
            found = samples(httpx.get(f"{url}/metrics", timeout=10).text)
            return sum(value for name, value in found.items() if name.startswith("golive_kpi_events_total"))

        def send(lane: int) -> None:
            batch = {"events": [{"domain": "W", "metric": f"m{lane}", "success": True}] * 7}
            while not stopping.is_set():  # a connection for each, so that every worker has its share
                httpx.post(f"{url}{KPI}", json=batch, headers=headers, timeout=10).raise_for_status()
                sent[lane] += 7

        threads = [threading.Thread(target=send, args=(lane,)) for lane in range(6)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while sum(sent) <= 300 or len(totals) < 10:
            assert time.monotonic() < deadline
            totals.append(total())
        stopping.set()
        for thread in threads:
            thread.join()
        assert totals == sorted(totals)
        assert total() == sum(sent)
        with governance.engine_for(production).connect() as connection:
            wait_until(lambda: connection.scalar(text("SELECT count(*) FROM kpi_event")) == sum(sent), 20)
