"""The composition: its schema, what it may not have, and that its parts fit each other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import make_secrets, prepare
from golive import database
from tests.support.prometheus import installed

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "otel-collector.yaml").read_text())
CONFIGURATIONS = [
    *sorted((ROOT / "deploy").glob("*.y*ml")),
    *sorted((ROOT / "dashboards").glob("provisioning/*/*.yaml")),
    ROOT / "dashboards" / "prometheus" / "alertmanager.yml",
]
SECRETS = {
    *make_secrets.RANDOM,
    "alert_webhook_url",
    "pgpass",
    *(f"{name}_token" for name in prepare.TOKENS),
}

each_service = pytest.mark.parametrize("name", SERVICES)


def test_it_agrees_with_the_schema_of_compose_files() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_server_of_the_stack_is_there() -> None:
    stack = {"golive", "postgres", "otel-collector", "prometheus", "alertmanager", "tempo", "grafana"}
    assert stack < SERVICES.keys()
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"clickhouse": ["clickhouse"], "load": ["load"]}


@each_service
def test_every_image_has_a_whole_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+(\.\d+)*)?$", SERVICES[name]["image"])


@each_service
def test_no_variable_holds_a_secret(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASS|SECRET|TOKEN|KEY", variable):
            assert str(value).startswith("/run/secrets/golive/"), variable
        assert not re.search(r"://[^/@:]+:[^/@]+@", str(value)), variable


@each_service
def test_every_file_that_is_mounted_is_there_and_cannot_be_written(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, *rest = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert rest[-1] == "ro", volume
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_only_loopback_is_published(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_every_service_waits_for_what_it_needs_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    for needed, how in service.get("depends_on", {}).items():
        other = SERVICES[needed]
        if how["condition"] == "service_healthy":
            assert "healthcheck" in other or other["image"].startswith("golive:")
        else:
            assert "restart" not in other, "it would never be completed"
    runs_once = name in {"secrets", "prepare", "collector-queue"}
    assert runs_once != ("restart" in service)
    without_a_shell = {"otel-collector", "tempo"}
    if not runs_once and name not in without_a_shell:
        assert "healthcheck" in service or service["image"].startswith("golive:")


def test_the_tables_are_made_once_before_golive_serves() -> None:
    assert SERVICES["golive"]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert SERVICES["prepare"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "clickhouse": {"condition": "service_healthy", "required": False},
    }
    assert SERVICES["postgres"]["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}


def test_the_store_is_maintained_once_a_day_as_the_documents_say() -> None:
    service = SERVICES["maintain"]
    assert [*service["entrypoint"], *service["command"]] == ["python", "-m", "deploy.daily", "db", "maintain"]
    assert service["environment"]["GOLIVE_RETENTION_DAYS"] == "${GOLIVE_RETENTION_DAYS:-}"
    text = (ROOT / "docs" / "database.md").read_text()
    shown = text[text.index("### Once a day") :]
    [cron_job] = re.findall(r"```yaml\n(.+?)```", shown, re.DOTALL)[:1]
    job = yaml.safe_load(cron_job)
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == (service["image"], service["command"])
    assert "GOLIVE_RETENTION_DAYS=400 docker compose up" in shown


@each_service
def test_what_a_service_runs_is_in_the_image(name: str) -> None:
    for module in re.findall(r"deploy\.(\w+)", str(SERVICES[name].get("entrypoint"))):
        assert f"deploy/{module}.py" in (ROOT / "Dockerfile").read_text()


def test_the_url_of_clickhouse_that_is_shown_leads_to_its_service() -> None:
    [shown] = re.findall(r"GOLIVE_EVENTS_URL='(.+)'", FILE.read_text())
    url = database.normalise_events_url(shown)
    clickhouse = SERVICES["clickhouse"]
    assert (url.host, url.port) == ("clickhouse", 8123)
    assert (url.username, url.database) == (
        clickhouse["environment"]["CLICKHOUSE_USER"],
        clickhouse["environment"]["CLICKHOUSE_DB"],
    )
    assert str(url.query["password_file"]) in clickhouse["entrypoint"][2]
    assert COMPOSE["x-store"]["GOLIVE_EVENTS_URL"] == "${GOLIVE_EVENTS_URL:-}"


def test_every_secret_that_is_read_is_made_and_the_other_way_round() -> None:
    text = "".join(file.read_text() for file in [FILE, *CONFIGURATIONS])
    read = set(re.findall(r"/run/secrets/golive/(\w+)", text))
    assert read == SECRETS


def test_every_address_is_that_of_a_service() -> None:
    for file in CONFIGURATIONS:
        for host in re.findall(r"(?:\w+://|\"|: )([a-z][a-z-]+):\d{4}\b", file.read_text()):
            assert host in SERVICES, f"{file.name} names {host}"
    for service in SERVICES.values():
        for value in service.get("environment", {}).values():
            for host in re.findall(r"://(?:\w+@)?([a-z-]+):\d+", str(value)):
                assert host in SERVICES


def test_every_metric_of_another_server_comes_from_where_its_configuration_says() -> None:
    exporter = COLLECTOR["exporters"]["prometheus"]["endpoint"]
    [reader] = COLLECTOR["service"]["telemetry"]["metrics"]["readers"]
    scraped = re.findall(r'targets: \["(.+)"\]', (ROOT / "deploy" / "prometheus.yml").read_text())
    assert f"otel-collector:{exporter.rpartition(':')[2]}" in scraped
    assert f"otel-collector:{reader['pull']['exporter']['prometheus']['port']}" in scraped
    tempo = yaml.safe_load((ROOT / "deploy" / "tempo.yaml").read_text())
    assert f"tempo:{tempo['server']['http_listen_port']}" in scraped


def test_the_pipelines_of_the_collector_have_only_parts_that_are_configured_and_all_of_them() -> None:
    for kind in ("receivers", "processors", "exporters"):
        used = {part for pipeline in COLLECTOR["service"]["pipelines"].values() for part in pipeline[kind]}
        assert used == COLLECTOR[kind].keys()
    assert set(COLLECTOR["service"]["extensions"]) == COLLECTOR["extensions"].keys()


def test_the_collector_sends_spans_to_tempo_and_events_to_golive() -> None:
    tempo = yaml.safe_load((ROOT / "deploy" / "tempo.yaml").read_text())
    listens = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    exporters = COLLECTOR["exporters"]
    assert exporters["otlp_grpc/tempo"]["endpoint"] == f"tempo:{listens.rpartition(':')[2]}"
    assert exporters["otlp_http/golive"]["logs_endpoint"] == "http://golive:8000/v1/logs"


def test_the_collector_lets_through_what_golive_takes_and_as_its_document_says() -> None:
    [condition] = COLLECTOR["processors"]["filter/kpi_events"]["log_conditions"]
    dropped_unless = set(re.findall(r'(log\.\S+) != "kpi\.event"', condition))
    assert dropped_unless == {"log.event_name", 'log.attributes["event.name"]'}
    assert re.sub(r'log\.\S+ != "kpi\.event"', "", condition).split() == ["and"]
    assert condition in (ROOT / "docs" / "otlp.md").read_text()


def test_the_image_is_slim_small_in_rights_and_watched() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(stages) == 2
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim", stage) for stage in stages)
    last = text.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert "HEALTHCHECK" in last
    assert "/livez" in last, "the gate is no part of a container's health"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert all((ROOT / source).exists() for line in copied for source in line.split())


def test_promtool_takes_the_configuration_of_prometheus() -> None:
    file = ROOT / "deploy" / "prometheus.yml"
    command = [installed("promtool"), "check", "config", "--syntax-only", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_secret_that_is_there_is_kept_and_only_its_readers_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "alert_webhook_url").write_text("https://pager.example.com/")
    make_secrets.main(tmp_path)
    first = {file.name: file.read_text() for file in tmp_path.iterdir()}
    make_secrets.main(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == first
    assert first["alert_webhook_url"] == "https://pager.example.com/"
    assert len(set(first.values())) == len(first) == len(make_secrets.RANDOM) + 2
    assert (tmp_path / "pgpass").stat().st_mode & 0o077 == 0, "libpq would ignore it"
