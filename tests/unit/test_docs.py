"""The documents hold against the code."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from golive import errors, names, redaction, settings
from golive.api import create_app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("examples/**/*.md")])

COMMANDS = (
    "db upgrade",
    "db maintain",
    "import",
    "export",
    "replay",
    "kpi summary",
    "kpi correlation",
    "serve",
    "runbook",
    "review",
    "evaluate",
    "backtest",
    "rearm",
    "kill-switch engage",
    "kill-switch release",
    "kill-switch status",
    "audit list",
    "audit verify",
    "dashboards",
    "token create",
    "token list",
    "token revoke",
)

NO_SETTING = {settings.TOKEN, settings.RETENTION_DAYS}
"""Variables of the command line alone."""

PIPELINE_VARIABLES = {settings.DATABASE_URL} | {
    value
    for name, value in vars(settings).items()
    if name.isupper()
    and isinstance(value, str)
    and name.startswith(
        ("SPOOL_", "SHUTDOWN_", "DETAIL_", "MAX_SERIES", "REDACT_", "EVALUATE_EVERY_", "EVENTS_")
    )
}

PROMETHEUS_NAMES = {
    names.KPI_EVENTS: "golive_kpi_events_total",
    names.KPI_VALUE_SUM: "golive_kpi_value_sum",
    names.KPI_VALUE_LAST: "golive_kpi_value_last",
    names.KPI_STEP_DURATION: "golive_kpi_step_duration_seconds",
    names.SPOOL_EVENTS: "golive_spool_events",
    names.SPOOL_OLDEST_AGE: "golive_spool_oldest_age_seconds",
    names.EXPORTED_EVENTS: "golive_exported_events_total",
    names.DISCARDED_EVENTS: "golive_discarded_events_total",
}


def constants(module: object) -> Iterator[tuple[str, str]]:
    """Yield the public string constants of a module."""
    for name, value in vars(module).items():
        if name.isupper() and isinstance(value, str):
            yield name, value


def variables() -> set[str]:
    """Return every environment variable golive reads."""
    return {value for name, value in constants(settings) if value == name or value.startswith("GOLIVE_")}


def error_classes() -> list[type[errors.GoliveError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GoliveError)
    ]


def headings(document: Path) -> set[str]:
    return set(re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings(document))
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_has_a_section_under_its_code(error: type[errors.GoliveError]) -> None:
    assert f"`{error.code}`: {error.__name__}" in headings(DOCS / "errors.md")


def test_every_setting_has_an_environment_variable() -> None:
    dataclasses = (settings.Settings, settings.GateSettings, settings.ServiceSettings)
    assert len(variables() - NO_SETTING) == sum(len(fields(dataclass)) for dataclass in dataclasses)


@pytest.mark.parametrize("document", [README, DOCS / "pipeline.md"], ids=lambda path: path.name)
def test_every_environment_variable_is_in_the_table_with_its_default(document: Path) -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", document.read_text(), re.MULTILINE))
    assert rows.keys() >= PIPELINE_VARIABLES
    default = settings.Settings()
    assert rows[settings.SPOOL_WHEN_FULL] == f"`{default.when_full}`"
    assert rows[settings.SPOOL_BLOCK_SECONDS] == f"`{default.block_seconds:g}`"
    assert rows[settings.SHUTDOWN_SECONDS] == f"`{default.shutdown_seconds:g}`"
    assert rows[settings.EVALUATE_EVERY_EVENTS] == f"`{default.evaluate_every_events}` (never)"
    assert rows[settings.MAX_SERIES] == f"`{default.max_series}`"
    assert rows[settings.DETAIL_MAX_BYTES] == f"`{default.detail_max_bytes}` (64 KiB)"
    assert rows[settings.SPOOL_MAX_BYTES] == f"`{default.spool_max_bytes}` (1 GiB)"


@pytest.mark.parametrize("document", [README, DOCS / "service.md"], ids=lambda path: path.name)
def test_every_variable_of_the_gate_and_the_service_is_in_their_table(document: Path) -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", document.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named >= variables() - PIPELINE_VARIABLES


def test_the_defaults_of_the_gate_and_the_service_are_those_documented() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", (DOCS / "service.md").read_text(), re.MULTILINE))
    gate, service = settings.GateSettings(), settings.ServiceSettings()
    for name, value in {
        settings.RUNBOOK_INTERVAL_SECONDS: gate.runbook_interval_s,
        settings.STATE_MAX_AGE_SECONDS: gate.state_max_age_s,
        settings.DATABASE_DEADLINE_SECONDS: gate.database_deadline_s,
        settings.MAX_BODY_BYTES: service.max_body_bytes,
        settings.MAX_BATCH_EVENTS: service.max_batch_events,
        settings.REQUESTS_PER_MINUTE: service.requests_per_minute,
        settings.AUDIT_INTERVAL_SECONDS: service.audit_interval_s,
        settings.EVALUATE_INTERVAL_SECONDS: service.evaluate_interval_s,
    }.items():
        assert rows[name].startswith(f"`{int(value)}`"), name


def test_every_route_is_documented() -> None:
    text = (DOCS / "service.md").read_text()
    for path in create_app("sqlite:///none.db").openapi()["paths"]:
        shown = path.replace("{correlation_id}", "{id}")
        *_, group, name = shown.split("/")
        assert any(
            each in text for each in (shown, f"`/{name}`", f"`/{group}/{name}`", f"…/{group}/{name}")
        ), path


def test_every_metric_is_documented_under_its_prometheus_name() -> None:
    metrics = {
        value
        for _, value in constants(names)
        if value.startswith(("golive.kpi.", "golive.spool.", "golive.exported.", "golive.discarded."))
    }
    assert metrics == PROMETHEUS_NAMES.keys()
    text = (DOCS / "pipeline.md").read_text()
    for name, prometheus in PROMETHEUS_NAMES.items():
        assert f"`{name}`" in text
        assert f"`{prometheus}" in text


def test_every_reason_to_discard_is_documented() -> None:
    text = (DOCS / "pipeline.md").read_text()
    for name, reason in constants(names):
        if name.startswith("DISCARD_"):
            assert f"| `{reason}` |" in text


def test_every_word_that_marks_a_secret_is_documented() -> None:
    text = (DOCS / "kpi.md").read_text()
    fresh = runpy.run_path(redaction.__file__)  # a test may have added words to the module in use
    words = fresh["_SUBSTRINGS"] | fresh["_WORDS"]
    assert [word for word in sorted(words) if f"`{word}`" not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_and_answers_for_help(command: str) -> None:
    assert any(f"golive {command}" in path.read_text() for path in DOCS.glob("*.md"))
    assert f"golive {command}" in README.read_text()
    run = [sys.executable, "-c", "from golive.cli import main; main()", *command.split(), "--help"]
    subprocess.run(run, check=True, capture_output=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), f"{document.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{document.name} links to {target}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    assert [
        page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ] == []


def test_every_make_target_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = " ".join(path.read_text() for path in DOCUMENTS)
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test", "lint"} <= named <= targets


def test_the_first_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    [snippet, *_] = re.findall(r"```python\n(.+?)```", README.read_text(), re.DOTALL)
    program = snippet + "\nfrom golive import pipeline\nassert pipeline.flush()\n"
    environment = {name: text for name, text in os.environ.items() if name not in variables()}
    environment["GOLIVE_SPOOL_DIR"] = str(tmp_path / "spool")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=environment, timeout=60)
