"""`golive runbook`, `kill-switch`, `audit` and `review`, as a person and a pipeline run them."""

import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from golive import database, go_live
from golive.heimdall import heimdall_sandbox_trial
from golive.risk import risk_reserve_or_raise, risk_settle
from golive.runbook import build_runbook
from tests.support.cli import golive
from tests.support.stores import one_store

Shell = dict[str, str]


@pytest.fixture
def shell(store: str, environment: Shell) -> Shell:
    """A shell of a machine on which production runs, and nothing is wrong."""
    return environment | {"DATABASE_URL": store, "ENV": "production", "GO_LIVE_ENFORCE": "1"}


def runbook(shell: Shell, tmp_path: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    done = golive("runbook", *arguments, cwd=tmp_path, environment=shell, check=code)
    return done.stdout, done.stderr


def test_exit_code_0_means_go(shell: Shell, tmp_path: Path) -> None:
    text, _ = runbook(shell, tmp_path)
    assert text.startswith("GO: ")
    assert "✓ kill_switch_clear" in text


def test_exit_code_1_means_blockers_and_each_says_what_to_do(shell: Shell, tmp_path: Path) -> None:
    go_live.engage_kill_switch(shell["DATABASE_URL"], actor="ops", reason="now")
    text, _ = runbook(shell, tmp_path, code=1)
    assert text.startswith("NO-GO")
    assert "✗ kill_switch_clear" in text
    assert "golive kill-switch release" in text


@one_store
def test_the_formats_agree(shell: Shell, tmp_path: Path) -> None:
    del shell["ENV"]
    found = json.loads(runbook(shell, tmp_path, "--format", "json", code=1)[0])
    assert [check["id"] for check in found["blockers"]] == ["env_sanity"]
    assert "- ❌ env_sanity" in runbook(shell, tmp_path, "--format", "markdown", code=1)[0]


@one_store
def test_github_gets_annotations_it_can_read_and_a_summary(shell: Shell, tmp_path: Path) -> None:
    """The format is that of GitHub's own toolkit: %, CR and LF escaped, in properties : and , as well."""
    summary = tmp_path / "summary.md"
    shell["GITHUB_STEP_SUMMARY"] = str(summary)
    go_live.engage_kill_switch(
        shell["DATABASE_URL"], actor="ops", reason="100%\nof :: offers\r\n::warning::x"
    )
    lines = runbook(shell, tmp_path, "--format", "github", code=1)[0].splitlines()
    [line] = [line for line in lines if line.startswith("::")]
    assert line.startswith("::error title=kill_switch_clear::")
    assert "100%25%0Aof :: offers%0D%0A::warning::x" in line
    assert "- ❌ kill_switch_clear" in summary.read_text()
    go_live.release_kill_switch(shell["DATABASE_URL"], actor="ops", reason="mended")
    assert (
        runbook(shell, tmp_path, "--format", "github")[0] == "::notice title=golive::OK to enable go-live\n"
    )


def test_exit_code_2_means_misconfigured(environment: Shell, tmp_path: Path) -> None:
    for name, value in (("DATABASE_URL", "mysql://x"), ("GOLIVE_DATABASE_DEADLINE_SECONDS", "soon")):
        _, error = runbook(environment | {name: value}, tmp_path, code=2)
        assert error.startswith("golive: ")
    assert "http" in runbook(environment, tmp_path, "--url", "ftp://x", code=2)[1]
    assert (
        "missing" in runbook(environment, tmp_path, "--url", "http://x", "--token-file", "missing", code=2)[1]
    )


def test_exit_code_4_means_unreachable(environment: Shell, tmp_path: Path) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    text, _ = runbook(environment | {"DATABASE_URL": nobody}, tmp_path, code=4)
    assert text.startswith("NO-GO")
    assert "127.0.0.1:1" in runbook(environment, tmp_path, "--url", "http://127.0.0.1:1", code=4)[1]


Answer = Callable[..., str]


@pytest.fixture
def service() -> Iterator[Answer]:
    """A service that answers as told; returns its address."""
    told: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told["authorization"] = self.headers.get("Authorization")
            self.send_response(told["status"])
            self.end_headers()
            self.wfile.write(told["body"])

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(status: int, body: bytes | dict[str, Any] = b"") -> str:
        told.update(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())
        return f"http://127.0.0.1:{server.server_port}"

    answer.told = told  # type: ignore[attr-defined]
    yield answer
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("warn", 0), ("fail", 1), ("inconclusive", 3), ("new", 3)]
)
def test_a_services_verdict_is_the_exit_code(
    service: Any, environment: Shell, tmp_path: Path, verdict: str, code: int
) -> None:
    found = dict(build_runbook(f"sqlite:///{tmp_path}/none.db"))
    found |= {"verdict": verdict, "ok_to_enable_go_live": code == 0}
    runbook(environment | {"GOLIVE_TOKEN": "t1"}, tmp_path, "--url", service(200, found), code=code)
    assert service.told["authorization"] == "Bearer t1"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(401, b"", 2), (403, b"", 2), (404, b"", 3), (200, b"<html>", 3), (200, {"a": 1}, 3), (503, b"", 4)],
)
def test_a_service_that_gives_no_runbook_is_no_go(
    service: Any, environment: Shell, tmp_path: Path, status: int, body: Any, code: int
) -> None:
    _, error = runbook(environment, tmp_path, "--url", service(status, body), code=code)
    assert error.startswith("golive: http://127.0.0.1")


_EMPTY: dict[str, Any] = {"generated_at": "", "blockers": [], "warnings": [], "info": []}


@pytest.mark.parametrize(
    "body",
    [
        {"ok_to_enable_go_live": True, "verdict": "pass", "blockers": []},
        {**_EMPTY, "ok_to_enable_go_live": True, "verdict": []},
        {**_EMPTY, "ok_to_enable_go_live": True, "verdict": "pass", "blockers": [1]},
        {**_EMPTY, "ok_to_enable_go_live": False, "verdict": "pass"},
        {**_EMPTY, "ok_to_enable_go_live": True, "verdict": "fail"},
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_incomplete_or_contradicts_itself_is_inconclusive(
    service: Any, environment: Shell, tmp_path: Path, body: Any
) -> None:
    printed, error = runbook(environment, tmp_path, "--url", service(200, body), code=3)
    assert (printed, error.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"a":', b""]
)
def test_a_service_that_breaks_off_is_unreachable(environment: Shell, tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        _, error = runbook(environment, tmp_path, "--url", url, code=4)
    assert error.count("\n") == 1


@one_store
def test_the_kill_switch_from_a_shell(shell: Shell, tmp_path: Path) -> None:
    def switch(*arguments: str, code: int = 0) -> str:
        done = golive("kill-switch", *arguments, cwd=tmp_path, environment=shell, check=code)
        return done.stdout + done.stderr

    assert "released" in switch("status")
    assert "ENGAGED" in switch("engage", "--reason", "offers go out twice")
    status = switch("status", code=1)
    assert "offers go out twice" in status
    assert "cli:" in status
    assert "reason" in switch("release", code=2)
    assert "reason" in switch("release", "--reason", " ", code=2)
    assert "released" in switch("release", "--reason", "mended")
    audited = golive("audit", "list", "--format", "json", cwd=tmp_path, environment=shell).stdout
    assert [act["action"] for act in json.loads(audited)] == ["kill_switch.release", "kill_switch.engage"]


@one_store
def test_audit_verify_names_the_broken_row_and_fails(shell: Shell, tmp_path: Path) -> None:
    url = shell["DATABASE_URL"]
    for reason in "abc":
        go_live.engage_kill_switch(url, actor="ops", reason=reason)
    assert "intact: 3 rows" in golive("audit", "verify", cwd=tmp_path, environment=shell).stdout
    engine = database.create_store_engine(database.normalise_url(url))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE governance_audit SET actor = 'x' WHERE id = 2")
    engine.dispose()
    assert "row 2" in golive("audit", "verify", cwd=tmp_path, environment=shell, check=1).stderr
    assert "row 2" in runbook(shell, tmp_path, code=1)[0]


def test_the_review_shows_the_runbook_the_rates_and_the_acts(
    shell: Shell, tmp_path: Path, production: str
) -> None:
    log = tmp_path / "log.csv"
    rows = [f"d{n},WHOLESALE,offer_sent,{n % 4 != 0},,,{{}},\n" for n in range(20)]
    from golive.models.base import utc_now

    header = "correlation_id,domain,metric,success,value,actor,occurred_at,detail\n"
    log.write_text(header + "".join(row.format(utc_now().isoformat()) for row in rows))
    golive("import", log, cwd=tmp_path, environment=shell)
    go_live.enable(production, actor="ops", reason="week 1")
    made = risk_reserve_or_raise(production, "WHOLESALE", Decimal("120.50"))
    risk_settle(production, "WHOLESALE", made.amount, Decimal("3.55"), reservation_id=made.id)
    risk_reserve_or_raise(production, "CAPITAL", 7)
    for success in (True, True, True, False):
        heimdall_sandbox_trial(production, "BUYER_MATCH", success=success, confidence=0.9)
    text = golive("review", cwd=tmp_path, environment=shell).stdout
    for expected in ("GO: ", "Go-live is ENABLED", "offer_sent", "75.0%", "go_live.enable", "week 1"):
        assert expected in text
    for row in (
        ("GLOBAL", "100%", "3.55 of 250.00", "127.50 of 1500.00", "7.00 of any", "2 of 1000", "0"),
        ("WHOLESALE", "100%", "3.55 of 200.00", "120.50 of 1000.00", "0.00 of 500.00", "1 of 500", "0"),
        ("NOTIFY", "no"),
        ("BUYER_MATCH", "no", "4 of 50", "75.0% of 80.0%", "too_few_trials"),
    ):
        assert re.search(r"\W+".join(map(re.escape, row)), text), row
