"""The runbook: every check can fail and pass, and fails closed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import audit, checks, database, go_live, governance
from golive.checks import Check, CheckRegistry, CheckResult, runbook_check
from golive.errors import Blocked, ConfigurationError
from golive.evaluator import Evaluator
from golive.runbook import STANDARD_CHECKS, Runbook, build_runbook, render_runbook_markdown
from tests.support.service import wait_until

ORDER = [
    "go_live_checklist",
    "kill_switch_clear",
    "env_sanity",
    "enforcement_expected_in_prod",
    "risk_policies_present",
    "regression_policies_present",
    "heimdall_charter_present",
    "kpi_pipeline_healthy",
    "audit_chain_intact",
    "tripwires_clear",
]


def reports(runbook: Runbook) -> dict[str, Any]:
    return {check["id"]: check for part in ("blockers", "warnings", "info") for check in runbook[part]}


def execute(url: str, statement: str) -> None:
    with governance.engine_for(url).begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def added() -> Iterator[Callable[..., None]]:
    """Adds checks for the length of a test."""
    ids: list[str] = []

    def add(id: str, function: Any, **arguments: Any) -> None:
        ids.append(id)
        runbook_check(id, action="Mend it.", **arguments)(function)

    yield add
    for id in ids:
        checks.registry.remove(id)


def test_a_system_that_is_ready_has_no_blocker(production: str) -> None:
    runbook = build_runbook(production)
    assert runbook["ok_to_enable_go_live"] is True
    assert runbook["verdict"] == "pass"
    assert runbook["blockers"] == runbook["warnings"] == []
    assert [check["id"] for check in runbook["info"]] == ORDER
    assert all(check["action"] == "Proceed." for check in runbook["info"])


def test_the_checks_are_those_of_the_design_in_its_order() -> None:
    assert [check.id for check in STANDARD_CHECKS] == ORDER


def test_a_session_names_the_database(production: str) -> None:
    engine = create_engine(database.normalise_url(production))
    with Session(engine) as session:
        assert build_runbook(session)["ok_to_enable_go_live"]
    engine.dispose()


TRIPPED = "INSERT INTO regression_state (domain, metric, triggered, trips, shadow_trips, version) VALUES ('CAPITAL', 'roi', {true}, 1, 0, 1)"
FAILURES = {
    "go_live_checklist": ("DELETE FROM golive_alembic_version", "golive db upgrade"),
    "kill_switch_clear": (
        "UPDATE go_live_state SET kill_switch_engaged = {true}",
        "/api/governance/go-live/kill-switch/release",
    ),
    "risk_policies_present": ("DELETE FROM risk_policy WHERE engine = 'GLOBAL'", "alembic upgrade head"),
    "regression_policies_present": ("DELETE FROM regression_policy", "alembic upgrade head"),
    "heimdall_charter_present": ("DELETE FROM heimdall_policy", "alembic upgrade head"),
    "audit_chain_intact": ("UPDATE governance_audit_head SET last_id = 7", "golive audit verify"),
    "tripwires_clear": (TRIPPED, "re-arm"),
}


@pytest.mark.parametrize("check_id", FAILURES)
def test_each_check_of_the_database_fails_when_it_should_and_says_what_to_do(
    production: str, check_id: str
) -> None:
    statement, action = FAILURES[check_id]
    execute(production, statement.format(true="true" if "postgresql" in production else "1"))
    runbook = build_runbook(production)
    report = reports(runbook)[check_id]
    assert report["ok"] is False
    assert action in report["action"]
    blocks = report["severity"] == "BLOCKER"
    assert report in runbook["blockers" if blocks else "warnings"]
    assert runbook["ok_to_enable_go_live"] is not blocks


def test_no_engine_with_a_risk_policy_blocks(production: str) -> None:
    execute(production, "DELETE FROM risk_policy WHERE engine <> 'GLOBAL'")
    assert not reports(build_runbook(production))["risk_policies_present"]["ok"]


def test_upgrading_seeds_policies_that_are_gone_as_the_action_says(production: str) -> None:
    for table in ("regression_policy", "heimdall_policy", "go_live_state"):
        execute(production, f"DELETE FROM {table}")
    execute(production, "DELETE FROM risk_policy WHERE engine IN ('GLOBAL', 'NOTIFY')")
    assert len(build_runbook(production)["blockers"]) == 4
    database.upgrade(database.normalise_url(production), seed=True)
    assert build_runbook(production)["blockers"] == []
    with governance.reading(production) as connection:
        engines = set(connection.scalars(text("SELECT engine FROM risk_policy")))
    assert engines == {"GLOBAL", "WHOLESALE", "CAPITAL"}  # one that was removed on purpose stays away


@pytest.mark.parametrize(
    ("name", "value"), [("ENV", "staging"), ("DATABASE_URL", ""), ("GO_LIVE_ENFORCE", "0"), ("ENV", None)]
)
def test_env_sanity_names_what_is_not_set_and_never_shows_the_database_url(
    production: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    report = reports(build_runbook(production))["env_sanity"]
    assert not report["ok"]
    assert name in report["message"]
    assert production not in str(report)


def test_required_packs_have_to_be_installed(production: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLIVE_REQUIRED_PACKS", "sqlalchemy, no-such-pack")
    report = reports(build_runbook(production))["go_live_checklist"]
    assert not report["ok"]
    assert report["detail"]["missing_packs"] == ["no-such-pack"]
    monkeypatch.setenv("GOLIVE_REQUIRED_PACKS", "sqlalchemy,alembic")
    assert reports(build_runbook(production))["go_live_checklist"]["ok"]


def test_enforcement_is_said_not_to_be_on(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENV", raising=False)
    monkeypatch.delenv("GO_LIVE_ENFORCE", raising=False)
    report = reports(build_runbook(store))["enforcement_expected_in_prod"]
    assert (report["ok"], report["severity"]) == (False, "INFO")
    assert report in build_runbook(store)["info"]


def test_a_kill_switch_check_says_who_and_why(production: str) -> None:
    go_live.engage_kill_switch(production, actor="ops", reason="offers go out twice")
    message = reports(build_runbook(production))["kill_switch_clear"]["message"]
    assert "ops" in message
    assert "offers go out twice" in message


def test_a_database_without_tables_blocks_and_names_no_server(store_url: str) -> None:
    runbook = build_runbook(store_url)
    assert not runbook["ok_to_enable_go_live"]
    assert {"go_live_checklist", "kill_switch_clear", "audit_chain_intact"} <= reports(runbook).keys()
    assert "127.0.0.1" not in str(runbook)
    assert ".db" not in str(runbook)


def test_an_applications_check_takes_part(production: str, added: Callable[..., None]) -> None:
    added("payments", lambda db: CheckResult(False, "Payments are down.", {"token": "x1"}))
    added("fine", lambda db: db.scalar(text("SELECT 1")) == 1)
    added("slow_news", lambda db: False, severity="WARNING")

    async def asynchronous(db: Session) -> CheckResult:
        return CheckResult(True, "Awaited.")

    added("asynchronous", asynchronous)
    runbook = build_runbook(production)
    assert [check["id"] for check in runbook["blockers"]] == ["payments"]
    assert runbook["blockers"][0]["action"] == "Mend it."
    assert "x1" not in str(runbook["blockers"][0]["detail"])  # secrets are redacted
    assert [check["id"] for check in runbook["warnings"]] == ["slow_news"]
    assert [check["id"] for check in runbook["info"]][-2:] == ["fine", "asynchronous"]
    assert runbook["verdict"] == "fail"


def test_a_check_that_raises_has_failed(production: str, added: Callable[..., None]) -> None:
    def broken(db: Session) -> bool:
        raise RuntimeError("password=hunter2")

    added("broken", broken)
    added("odd", lambda db: "yes")
    runbook = build_runbook(production)
    assert {check["id"] for check in runbook["blockers"]} == {"broken", "odd"}
    assert "hunter2" not in str(runbook)
    assert runbook["verdict"] == "inconclusive"


def test_a_check_that_hangs_has_failed_and_is_not_started_again(
    production: str, added: Callable[..., None]
) -> None:
    release, runs = threading.Event(), []

    def hanging(db: Session) -> bool:
        runs.append(1)
        return release.wait(30)

    added("hanging", hanging, timeout_s=0.1)
    began = time.monotonic()
    for _ in range(3):
        assert not reports(build_runbook(production))["hanging"]["ok"]
    assert time.monotonic() - began < 5
    assert len(runs) == 1
    release.set()
    deadline = time.monotonic() + 10
    while not reports(build_runbook(production))["hanging"]["ok"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reports(build_runbook(production))["hanging"]["ok"]


class Slow:
    """A check that looks at once and answers when it is told to; counts its runs."""

    def __init__(self) -> None:
        self.is_well = True
        self.runs: list[threading.Event] = []

    def __call__(self, db: Session) -> bool:
        found, answer = self.is_well, threading.Event()
        self.runs.append(answer)
        answer.wait(30)
        return found

    def under_way(self) -> threading.Event:
        """Wait for the first run to have looked; return what lets it answer."""
        wait_until(lambda: len(self.runs) == 1)
        return self.runs[0]


def test_a_check_under_way_that_looked_before_its_cause_arose_enables_nothing(
    production: str, added: Callable[..., None]
) -> None:
    slow = Slow()
    added("slow", slow, timeout_s=8)
    with ThreadPoolExecutor(2) as pool:
        scraped = pool.submit(build_runbook, production)
        answer = slow.under_way()
        slow.is_well = False
        enabled = pool.submit(go_live.enable, production, actor="ops", reason="week 1")
        with pytest.raises(TimeoutError):
            enabled.result(0.3)
        answer.set()
        assert scraped.result()["ok_to_enable_go_live"]
        wait_until(lambda: len(slow.runs) == 2)
        slow.runs[1].set()
        with pytest.raises(Blocked) as refused:
            enabled.result()
    assert [blocker["id"] for blocker in refused.value.blockers] == ["slow"]
    assert len(slow.runs) == 2


def test_waiting_for_a_check_under_way_is_part_of_a_checks_timeout_and_fails_closed_at_it(
    production: str, added: Callable[..., None]
) -> None:
    slow = Slow()
    added("slow", slow, timeout_s=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build_runbook, production)
        answer = slow.under_way()
        began = time.monotonic()
        second = pool.submit(build_runbook, production)
        wait_until(lambda: time.monotonic() - began > 0.5)
        answer.set()
        assert reports(first.result())["slow"]["ok"]
        assert not reports(second.result())["slow"]["ok"]
        assert second.result()["verdict"] == "inconclusive"
        assert 0.9 < time.monotonic() - began < 1.5 + 1.0  # and some room on a busy machine
        slow.runs[1].set()


def test_a_check_that_got_no_thread_once_runs_again(
    production: str, added: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    added("unlucky", lambda db: True)
    with no_thread(monkeypatch, "golive-check-unlucky"):
        runbook = build_runbook(production)
    assert not reports(runbook)["unlucky"]["ok"]
    assert runbook["verdict"] == "inconclusive"
    assert build_runbook(production)["ok_to_enable_go_live"]


def test_an_evaluator_that_got_no_thread_once_evaluates_again(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(lambda: "done", 1.0, lambda why: why)
    with no_thread(monkeypatch, "golive-evaluator"):
        evaluator.refresh()
        assert "cannot be evaluated" in evaluator.latest(5.0).value
        assert "cannot be evaluated" in asyncio.run(evaluator.awaited(5.0, afresh=True)).value
    assert evaluator.latest(5.0).value == "done"


@contextmanager
def no_thread(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """Stand for a system that has no room for further threads of a name."""
    start = threading.Thread.start

    def refused(self: threading.Thread) -> None:
        if self.name == name:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        yield


def test_checks_run_at_the_same_time(production: str, added: Callable[..., None]) -> None:
    together = threading.Barrier(3)
    for number in range(3):
        added(f"together_{number}", lambda db: together.wait(5) >= 0, timeout_s=5)
    assert build_runbook(production)["verdict"] == "pass"


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "x" * 65},
        {"severity": "FATAL"},
        {"timeout_s": 0},
        {"timeout_s": 11},
        {"action": " "},
        {"id": "kill_switch_clear"},
    ],
)
def test_a_check_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"id": "x", "severity": "INFO", "timeout_s": 1.0, "action": "a"} | wrong
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        runbook_check(**arguments)(lambda db: None)


def test_an_id_belongs_to_one_function() -> None:
    registry = CheckRegistry()
    registry.add(Check("x", "INFO", 1, "a", reports))  # type: ignore[arg-type]
    registry.add(Check("x", "INFO", 2, "a", reports))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="id"):
        registry.add(Check("x", "INFO", 1, "a", execute))  # type: ignore[arg-type]
    assert [check.timeout_s for check in registry] == [2]


def test_the_audit_check_wants_a_long_chain_verified(production: str) -> None:
    with governance.acting(production) as connection:
        for _ in range(101):
            audit.append(connection, actor="a", action="x")
    assert not reports(build_runbook(production))["audit_chain_intact"]["ok"]
    assert audit.verify(production).ok
    assert reports(build_runbook(production))["audit_chain_intact"]["ok"]


def a_runbook(**texts: Any) -> dict[str, Any]:
    check = {"id": "x", "ok": False, "severity": "BLOCKER", "message": "m", "detail": None, "action": "a"}
    return {
        "generated_at": "2026-11-23T09:00:00+00:00",
        "ok_to_enable_go_live": False,
        "blockers": [check | texts],
        "warnings": [check | {"severity": "WARNING"}],
        "info": [check | {"ok": True}],
    }


def test_markdown_shows_each_check_with_its_mark() -> None:
    lines = render_runbook_markdown(a_runbook()).splitlines()
    assert "**❌ NOT OK to enable go-live**" in lines
    marks = [line.split(" (")[0] for line in lines if line.startswith("- ")]
    assert marks == ["- ❌ x", "- ⚠️ x", "- ✅ x"]
    assert "  - Action: a" in lines
    ready = a_runbook() | {"ok_to_enable_go_live": True}
    assert "**✅ OK to enable go-live**" in render_runbook_markdown(ready)


def shape(markdown: str) -> list[str]:
    """Return the kinds of tokens a Markdown parser finds, texts aside."""
    kinds = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        kinds.append(token.type)
        kinds += [child.type for child in token.children or () if child.type != "text"]
    return kinds


PLAIN = shape(render_runbook_markdown(a_runbook()))
HOSTILE = [
    "<script>alert(1)</script>", "[x](http://evil)", "![x](http://evil)", "*x* **x** _x_ __x__ ~~x~~", "`x` ``x``",
    "a\n# b\n- c\n\n```\nx", "| a | b |\n|---|---|", "&lt;b&gt;", "\\", "\u202egnp.exe", "\x1b[31m", "a  \nb", "<http://x>",
    "_x_ a_b_c", "1. x", "[^1]", "]]>", "\u2028x\x85# y", "@all", "***", "---", "\ufffe\x00",
]  # fmt: skip


@pytest.mark.parametrize("text_", HOSTILE)
@pytest.mark.parametrize("field", ["message", "id"])
def test_hostile_text_stays_text(field: str, text_: str) -> None:
    markdown = render_runbook_markdown(a_runbook(**{field: text_ or "x"}))
    assert shape(markdown) == PLAIN
    assert all(character.isprintable() or character == "\n" for character in markdown)


@pytest.mark.parametrize("address", ["http://evil.example", "HTTPS://evil.example/x?y", "www.evil.example"])
def test_an_address_in_a_text_is_no_link(address: str) -> None:
    message = render_runbook_markdown(a_runbook(message=f"see {address} now"))
    assert address not in message  # the escape within it is what GitHub's own links stop at
    assert shape(message) == PLAIN
    [line] = [line for line in message.splitlines() if "see" in line]
    [inline] = MarkdownIt("gfm-like", {"linkify": False}).parseInline(line)
    assert f"see {address} now" in "".join(child.content for child in inline.children or ())


def test_an_action_is_one_line_with_its_commands_as_code() -> None:
    markdown = render_runbook_markdown(a_runbook(action="Run `golive\n\n# db` and\n- wait."))
    assert "  - Action: Run `golive # db` and - wait." in markdown.splitlines()


@given(
    st.text(alphabet=st.one_of(st.sampled_from("\\`*_[]<>()#+-.!|~&@ \n\tab1"), st.characters()), min_size=1)
)
def test_any_text_stays_text(text_: str) -> None:
    assert shape(render_runbook_markdown(a_runbook(message=text_ + "."))) == PLAIN
