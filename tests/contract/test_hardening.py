"""What hostile neighbours find closed: other sites, other users of the machine, other services."""

import http.server
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from golive import database
from golive.runbook import build_runbook
from tests.support.cli import golive
from tests.support.service import golive_serve, serving, upgraded

STATUS = "/api/governance/runbook/status"


@pytest.fixture
def service(sqlite_url: str) -> Iterator[httpx.Client]:
    with serving(
        upgraded(sqlite_url), anonymous=frozenset({"runbook"}), hosts=("localhost", "::1")
    ) as client:
        client.headers["Host"] = "localhost"
        yield client


@pytest.mark.parametrize("path", [STATUS, "/", "/metrics", "/livez", "/api/docs", "/nothing"])
def test_a_site_that_leads_its_name_here_reads_nothing(service: httpx.Client, path: str) -> None:
    for host in (
        "evil.example",
        "localhost.evil.example:8000",
        "127.0.0.1@evil.example",
        "[::1",
        "",
        "[::1]x",
    ):
        answer = service.get(path, headers={"Host": host})
        assert answer.status_code in (400, 421), host
    for host in ("LOCALHOST", "localhost:8000", "[::1]:8000"):
        assert service.get(path, headers={"Host": host}).status_code in (200, 401, 404), host


def test_golive_serve_answers_to_the_names_of_loopback_where_it_opens_something(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with golive_serve(tmp_path, environment) as (url, _, _):
        assert httpx.get(url + STATUS).status_code == 200
        assert httpx.get(url + STATUS, headers={"Host": "evil.example"}).status_code == 421
    (file,) = tmp_path.rglob("golive.db")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "other users of the machine read the events"


@pytest.mark.parametrize("path", [STATUS, "/metrics", "/livez", "/api/openapi.json", "/nothing", "/v1/logs"])
def test_no_browser_takes_data_for_a_page(service: httpx.Client, path: str) -> None:
    headers = service.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_description_of_the_api_runs_only_scripts_of_the_services_own(service: httpx.Client) -> None:
    answer = service.get("/api/docs")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', answer.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/")
        assert service.get(address).status_code == 200


def test_an_sqlite_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    database.upgrade(database.normalise_url(f"sqlite:///{tmp_path}/deep/golive.db"))
    for file in (tmp_path / "deep").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_rejected_lines_are_for_their_owner_and_go_through_no_link(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text("domain,metric,occurred_at\nW,sent,password=1\n")
    rejects = tmp_path / "log.csv.rejects.jsonl"
    golive("import", "log.csv", cwd=tmp_path, environment=environment, check=1)
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    rejects.unlink()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, rejects)
    done = golive("import", "log.csv", cwd=tmp_path, environment=environment, check=2)
    assert done.stderr.count("\n") <= 2
    assert victim.read_text() == "precious"


def test_a_password_among_the_parameters_of_a_url_is_not_shown() -> None:
    url = database.normalise_url(
        "postgresql://db/x?user=app&password=hunter2&sslpassword=hunter2&sslmode=require"
    )
    shown = database.shown_url(url)
    assert "hunter2" not in shown
    assert "sslmode=require" in shown
    assert "hunter2" not in database.shown_url(database.normalise_url("postgresql://app:hunter2@db/x"))


@pytest.fixture
def elsewhere() -> Iterator[Any]:
    """A server that leads to another one, and both note what they were shown."""
    shown: list[tuple[str, str | None]] = []
    body: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append((self.headers["Host"], self.headers.get("Authorization")))
            if self.headers["Host"] == f"127.0.0.1:{server.server_port}":
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{server.server_port}/")
                self.end_headers()
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body["json"])

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, shown, body
    server.shutdown()
    server.server_close()


def test_a_token_is_not_shown_to_whom_the_service_leads(
    elsewhere: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    port, shown, body = elsewhere
    body["json"] = json.dumps(dict(build_runbook(f"sqlite:///{tmp_path}/none.db"))).encode()
    arguments = ("runbook", "--url", f"http://127.0.0.1:{port}")
    golive(*arguments, cwd=tmp_path, environment=environment | {"GOLIVE_TOKEN": "t1"}, check=None)
    assert shown == [(f"127.0.0.1:{port}", "Bearer t1"), (f"localhost:{port}", None)]


@pytest.mark.parametrize("broken", [{"severity": {}}, {"message": None}, {"id": ["x"]}, {"action": 1}])
def test_a_services_checks_that_are_none_are_inconclusive(
    elsewhere: Any, environment: dict[str, str], tmp_path: Path, broken: dict[str, Any]
) -> None:
    port, _, body = elsewhere
    found: dict[str, Any] = {**build_runbook(f"sqlite:///{tmp_path}/none.db")}
    found["blockers"][0] |= broken
    body["json"] = json.dumps(found).encode()
    golive("runbook", "--url", f"http://localhost:{port}", cwd=tmp_path, environment=environment, check=3)


def test_annotations_carry_no_control_codes(
    elsewhere: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    port, _, body = elsewhere
    found: dict[str, Any] = {**build_runbook(f"sqlite:///{tmp_path}/none.db")}
    found["blockers"][0] |= {"id": "x\r\n::error::y", "message": "\x1b[2J\u202e\n::warning::z"}
    body["json"] = json.dumps(found).encode()
    arguments = ("runbook", "--format", "github", "--url", f"http://localhost:{port}")
    printed = golive(*arguments, cwd=tmp_path, environment=environment, check=None).stdout
    assert printed.replace("\n", "").isprintable()
    assert all(line.startswith(("::error title=", "::warning title=")) for line in printed.splitlines())
