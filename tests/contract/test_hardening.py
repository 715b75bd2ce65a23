"""What hostile neighbours find closed: other sites, other users of the machine, other services."""

import http.server
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy.exc import OperationalError

from golive import database, go_live, pipeline, sessions, tokens
from golive.api.page.sign_in import _expires_at
from golive.kpi import kpi_success
from golive.models.base import utc_now
from golive.runbook import build_runbook
from tests.support.cli import golive
from tests.support.service import golive_serve, serving

STATUS = "/api/governance/runbook/status"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[httpx.Client]:
    file = tmp_path_factory.mktemp("hardening") / "golive.db"
    shutil.copy(sqlite_template, file)
    opened = frozenset({"runbook"})
    with serving(f"sqlite:///{file}", anonymous=opened, hosts=("localhost", "::1")) as client:
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
    assert "unsafe-eval" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', answer.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/")
        assert service.get(address).status_code == 200


def by_an_upgrade(url: str) -> None:
    database.upgrade(database.normalise_url(url))


def by_the_first_event(url: str) -> None:
    pipeline.configure(url)
    kpi_success(None, "W", "sent")
    assert pipeline.flush(30)
    pipeline.shutdown()


def by_a_look(url: str) -> None:
    with suppress(OperationalError):
        go_live.read(url)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("make", [by_an_upgrade, by_the_first_event, by_a_look])
def test_an_sqlite_file_is_made_for_its_owner_alone(
    make: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    make(f"sqlite:///{tmp_path}/deep/golive.db")
    files = list((tmp_path / "deep").iterdir())
    assert files
    for file in files:
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


SIGNED_IN = "golive_session"


@pytest.fixture
def visitor(sqlite_store: str) -> Iterator[tuple[httpx.Client, str]]:
    """A browser without JavaScript, and a token that may do everything."""
    secret = tokens.create(sqlite_store, name="ops", scopes=tokens.SCOPES, actor="test")
    with serving(sqlite_store) as client:
        yield client, secret


def test_whoever_signs_in_anew_leaves_no_session_behind(visitor: tuple[httpx.Client, str]) -> None:
    client, secret = visitor
    assert client.post("/sign-in", data={"token": secret}).status_code == 303
    before = client.cookies[SIGNED_IN]
    assert client.post("/sign-in", data={"token": secret}).status_code == 303
    assert client.get("/audit").status_code == 200
    assert client.cookies[SIGNED_IN] != before
    client.cookies.clear()
    assert client.get("/audit", headers={"Cookie": f"{SIGNED_IN}={before}"}).status_code == 303


def test_a_range_that_is_none_is_said_to_be_none(visitor: tuple[httpx.Client, str]) -> None:
    client, secret = visitor
    client.post("/sign-in", data={"token": secret})
    for path in ("/", "/audit"):
        assert client.get(f"{path}?since=x").status_code == 422
        assert client.get(f"{path}?since=0001-01-01T00:00%2b23:59").status_code == 422
        assert client.get(f"{path}?since=9999-12-31T23:59:59Z").status_code in (200, 422)
        assert client.get(f"{path}?since=2020-01-02&until=2020-01-01").status_code in (200, 422)


@pytest.mark.parametrize("exp", [1e300, 10**20])
def test_a_session_ends_by_golives_time_where_the_issuers_is_none(exp: float) -> None:
    token = jwt.encode({"sub": "carol", "exp": exp}, "x" * 32)
    assert _expires_at(token) <= utc_now() + sessions.LIFETIME
