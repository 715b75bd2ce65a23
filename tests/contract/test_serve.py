"""`golive serve` and `golive token`: safe on loopback by itself, and nowhere else without credentials."""

import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from golive import database, governance, tokens
from golive.api.connections import PromptConnection
from tests.support.cli import COMMAND, golive
from tests.support.ports import free_port
from tests.support.service import audited, bearer, golive_serve, token, wait_until
from tests.support.stores import one_store

ENGAGE = "/api/governance/go-live/kill-switch/engage"


@pytest.fixture
def shell(store: str, environment: dict[str, str]) -> dict[str, str]:
    return environment | {"DATABASE_URL": store}


def refused(shell: dict[str, str], folder: Path, *options: str) -> str:
    """Return what `golive serve` says when it refuses to start."""
    done = subprocess.run(
        [*COMMAND, "serve", "--port", str(free_port()), *options],
        cwd=folder,
        env=shell,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    return done.stderr


@one_store
def test_on_loopback_the_first_start_prints_a_token_once_and_the_second_none(
    shell: dict[str, str], tmp_path: Path
) -> None:
    with golive_serve(tmp_path, shell) as (url, _, printed):
        secret = printed.read_text().strip()
        assert secret.startswith(tokens.PREFIX)
        assert httpx.get(f"{url}/api/governance/runbook/status").status_code == 200
        assert httpx.get(f"{url}/metrics").status_code == 200
        assert httpx.post(f"{url}{ENGAGE}", json={"reason": "x"}).status_code == 401
        answer = httpx.post(f"{url}{ENGAGE}", json={"reason": "x"}, headers=bearer(secret))
        assert answer.json()["changed_by"] == "token:operator"
    with golive_serve(tmp_path, shell) as (_, _, printed):
        assert printed.read_text() == ""
    assert secret not in str(audited(shell["DATABASE_URL"]))


def test_on_an_empty_sqlite_file_it_makes_the_tables_first(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with golive_serve(tmp_path, environment) as (url, _, _):
        assert httpx.get(f"{url}/readyz").status_code == 200
    assert (tmp_path / "golive.db").exists()


@one_store
@pytest.mark.parametrize(
    ("more", "options"),
    [({"ENV": "production"}, ()), ({}, ("--host", "0.0.0.0")), ({}, ("--host", "::"))],
)
def test_it_refuses_to_start_where_nobody_could_be_told_apart(
    shell: dict[str, str], tmp_path: Path, more: dict[str, str], options: tuple[str, ...]
) -> None:
    url = shell["DATABASE_URL"]
    assert "golive token create" in refused(shell | more, tmp_path, *options)
    # One that may only read, one revoked, are no way in.
    token(url, "read", name="reader")
    token(url, "operate", name="gone")
    tokens.revoke(url, "gone", actor="test", reason="lost")
    assert "golive token create" in refused(shell | more, tmp_path, *options)


@one_store
def test_with_a_token_it_starts_in_production_and_nothing_is_open(
    shell: dict[str, str], tmp_path: Path
) -> None:
    headers = token(shell["DATABASE_URL"], "operate", "read")
    with golive_serve(tmp_path, shell | {"ENV": "production"}) as (url, _, printed):
        assert printed.read_text() == ""
        for path in ("/api/governance/runbook/status", "/metrics", "/api/kpi/events"):
            assert httpx.get(f"{url}{path}").status_code == 401
            assert httpx.get(f"{url}{path}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOLIVE_ANONYMOUS", "everything"),
        ("GOLIVE_OIDC_ISSUER", "https://issuer.example"),
        ("GOLIVE_MAX_BODY_BYTES", "-1"),
        ("GOLIVE_RUNBOOK_INTERVAL_SECONDS", "soon"),
        ("DATABASE_URL", "mysql://x"),
    ],
)
def test_a_setting_that_cannot_work_is_named_before_anything_listens(
    environment: dict[str, str], tmp_path: Path, name: str, value: str
) -> None:
    expected = "mysql" if name == "DATABASE_URL" else name
    assert expected in refused(environment | {name: value}, tmp_path)


@one_store
def test_an_issuer_that_cannot_be_one_is_refused_at_the_start(shell: dict[str, str], tmp_path: Path) -> None:
    issuer = {"GOLIVE_OIDC_ISSUER": "http://issuer.example", "GOLIVE_OIDC_AUDIENCE": "golive"}
    assert "GOLIVE_OIDC_ISSUER" in refused(shell | issuer, tmp_path)


def test_old_tables_are_one_clear_error(
    environment: dict[str, str], tmp_path: Path, postgres_url: str
) -> None:
    assert "golive db upgrade" in refused(environment | {"DATABASE_URL": postgres_url}, tmp_path)


@one_store
def test_tokens_are_made_listed_and_revoked_from_the_command_line(
    shell: dict[str, str], tmp_path: Path
) -> None:
    def run(*arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return golive("token", *arguments, cwd=tmp_path, environment=shell, check=code)

    made = run("create", "ci", "--scope", "read", "--scope", "ingest", "--expires-in-days", "30")
    secret = made.stdout.strip()
    assert "shown only now" in made.stderr
    with governance.reading(shell["DATABASE_URL"]) as connection:
        found = tokens.find(connection, secret)
    assert found is not None
    assert found.scopes == {"read", "ingest"}
    listed = run("list").stdout
    assert "ci" in listed
    assert "read ingest" in listed
    assert "usable" in listed
    assert secret not in listed
    assert "name" in run("create", "ci", "--scope", "read", code=2).stderr
    assert "scope" in run("create", "other", "--scope", "root", code=2).stderr
    run("revoke", "ci", "--reason", "the runner was sold")
    assert "revoked" in run("list").stdout
    assert "name" in run("revoke", "ci", "--reason", "again", code=2).stderr
    trail = [(entry["action"], entry["target"]) for entry in audited(shell["DATABASE_URL"])]
    assert trail[-2:] == [("token.create", "ci"), ("token.revoke", "ci")]


@one_store
def test_a_token_of_another_process_works_at_once_and_stops_within_a_second(
    shell: dict[str, str], tmp_path: Path
) -> None:
    with golive_serve(tmp_path, shell, "--workers", "2") as (url, _, _):
        made = golive("token", "create", "x", "--scope", "read", cwd=tmp_path, environment=shell)
        headers = bearer(made.stdout.strip())
        path = f"{url}/api/governance/go-live/state"
        assert httpx.get(path, headers=headers).status_code == 200
        golive("token", "revoke", "x", "--reason", "over", cwd=tmp_path, environment=shell)
        wait_until(lambda: httpx.get(path, headers=headers).status_code == 401, 1.5)
        assert database.normalise_url(shell["DATABASE_URL"])


def test_answers_of_several_workers_wait_for_no_acknowledgement() -> None:
    with socket.socket() as listening:  # made as uvicorn makes the one its workers share
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(_hello, http=PromptConnection, log_level="error"))
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
                wait_until(lambda: server.started)
                assert client.get("/").text == "hello"
                [connection] = server.server_state.connections
                taken = connection.transport.get_extra_info("socket")
                assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        finally:
            server.should_exit = True
            thread.join(20)


async def _hello(scope: Any, _: Any, send: Any) -> None:
    assert scope["type"] in ("http", "lifespan")
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})
