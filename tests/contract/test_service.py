"""The service over HTTP: the runbook, the gates, the state and its versions, and what it answers when things fail."""

import json
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from golive import database, go_live, governance
from golive.api import create_app
from golive.production import production_gate
from tests.support.cli import golive
from tests.support.postgres import PostgresServer
from tests.support.proxy import Mode, proxied
from tests.support.service import audited, golive_serve, serving, serving_app, token, wait_until

RUNBOOK = "/api/governance/runbook"
STATE = "/api/governance/go-live"


def curl(url: str) -> str:
    return subprocess.run(["curl", "-sS", url], check=True, capture_output=True, text=True, timeout=30).stdout


def test_the_seeds_two_curl_commands_answer_as_the_seed_shows(service: httpx.Client) -> None:
    status = json.loads(curl(f"{service.base_url}{RUNBOOK}/status"))
    assert {"generated_at", "ok_to_enable_go_live", "blockers", "warnings", "info"} <= status.keys()
    assert status["ok_to_enable_go_live"] is True
    assert all(
        {"id", "ok", "severity", "message", "detail", "action"} == set(check) for check in status["info"]
    )
    markdown = curl(f"{service.base_url}{RUNBOOK}/markdown")
    assert markdown.startswith("# ")
    for check in status["info"]:
        assert f"✅ {check['id']}" in markdown
    go_live.engage_kill_switch(actor="ops", reason="*now*\n# x")
    wait_until(lambda: not json.loads(curl(f"{service.base_url}{RUNBOOK}/status"))["ok_to_enable_go_live"])
    assert "❌ kill_switch_clear" in curl(f"{service.base_url}{RUNBOOK}/markdown")


def test_the_gate_answers_go_and_no_go_to_each_who_asks(service: httpx.Client) -> None:
    hook = {"name": "offers", "namespace": "prod", "phase": "confirm-rollout", "metadata": {}}
    gate = service.get(f"{RUNBOOK}/gate")
    assert gate.status_code == 200
    assert gate.json()["verdict"] == "pass"
    assert gate.json()["age_s"] < 2
    assert service.get(f"{RUNBOOK}/gate?view=argo").json()["data"]["verdict"] == "pass"
    flagger = service.post(f"{RUNBOOK}/gate/flagger", json=hook)
    assert (flagger.status_code, flagger.text) == (200, "pass")
    service.post(f"{STATE}/kill-switch/engage", json={"reason": "now"}).raise_for_status()
    wait_until(lambda: service.get(f"{RUNBOOK}/gate").status_code == 412)
    assert service.get(f"{RUNBOOK}/gate").json()["blockers"] == ["kill_switch_clear"]
    argo = service.get(f"{RUNBOOK}/gate?view=argo")
    assert (argo.status_code, argo.json()["data"]["verdict"]) == (200, "fail")
    flagger = service.post(f"{RUNBOOK}/gate/flagger", json=hook)
    assert (flagger.status_code, flagger.text) == (403, "fail: kill_switch_clear")


def test_two_clients_on_one_version_and_one_of_them_wins(service: httpx.Client) -> None:
    read = service.get(f"{STATE}/state")
    etag = read.headers["etag"]
    answers: list[httpx.Response] = []
    barrier = threading.Barrier(4)

    def enable(number: int) -> None:
        barrier.wait()
        answers.append(
            service.post(f"{STATE}/enable", json={"reason": f"client {number}"}, headers={"If-Match": etag})
        )

    threads = [threading.Thread(target=enable, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert service.get(f"{STATE}/state").json() == won
    [lost, *_] = [answer for answer in answers if answer.status_code == 412]
    assert lost.json()["version"] == won["version"]
    assert lost.headers["etag"] == f'"{won["version"]}"'


def test_without_a_version_nothing_is_changed(service: httpx.Client) -> None:
    before = service.get(f"{STATE}/state").json()
    for act in ("enable", "disable", "kill-switch/release"):
        assert service.post(f"{STATE}/{act}", json={"reason": "x"}).status_code == 428
        for stale in ({"If-Match": '"99"'}, {"If-Match": "nonsense"}):
            answer = service.post(f"{STATE}/{act}", json={"reason": "x"}, headers=stale)
            assert answer.status_code == 412
        assert service.post(f"{STATE}/{act}", json={"reason": "x", "version": 99}).status_code == 412
        assert service.post(f"{STATE}/{act}", json={"version": 1}).status_code == 422
        assert service.post(f"{STATE}/{act}", json={"version": 1, "reason": " "}).status_code == 422
    assert service.get(f"{STATE}/state").json() == before


def test_enable_with_a_blocker_is_409_with_the_blockers_and_changes_nothing(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = service.get(f"{STATE}/state").json()
    monkeypatch.delenv("GO_LIVE_ENFORCE")
    answer = service.post(f"{STATE}/enable", json={"reason": "x", "version": before["version"]})
    assert answer.status_code == 409
    assert [blocker["id"] for blocker in answer.json()["blockers"]] == ["env_sanity"]
    assert "GO_LIVE_ENFORCE=1" in answer.json()["blockers"][0]["action"]
    assert service.get(f"{STATE}/state").json() == before


def test_go_live_comes_and_goes_over_http_with_its_trail(service: httpx.Client, production: str) -> None:
    version = service.get(f"{STATE}/state").json()["version"]
    for act, body in [
        ("enable", {"reason": "week 1", "version": version}),
        ("kill-switch/engage", {"reason": "twice sent"}),
        ("kill-switch/release", {"reason": "mended", "version": version + 2}),
        ("disable", {"reason": "the week is over", "version": version + 3}),
    ]:
        answer = service.post(f"{STATE}/{act}", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["reason"] == body["reason"]
    trail = [(entry["action"], entry["actor"]) for entry in audited(production)[-4:]]
    assert [actor for _, actor in trail] == ["token:tester"] * 4
    assert service.get(f"{STATE}/checklist").json() == {
        "ok": True,
        "backend_complete": True,
        "required_packs": [],
        "missing_packs": [],
    }


def test_a_kill_switch_engaged_through_one_process_is_obeyed_by_every_other_within_a_second(
    production: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    shell = environment | {"DATABASE_URL": production, "ENV": "production", "GO_LIVE_ENFORCE": "1"}
    headers = token(production, "operate")
    version = go_live.read(production).version
    go_live.enable(production, actor="ops", reason="week 1", version=version)
    gate = production_gate(production)
    assert gate.decide().allowed
    with golive_serve(tmp_path, shell, "--workers", "2") as (url, _, _):
        engaged = httpx.post(f"{url}{STATE}/kill-switch/engage", json={"reason": "now"}, headers=headers)
        began = time.monotonic()
        assert engaged.status_code == 200
        while gate.decide().allowed:
            assert time.monotonic() - began < 1.0
            time.sleep(0.01)
        assert (
            "ENGAGED" in golive("kill-switch", "status", cwd=tmp_path, environment=shell, check=None).stdout
        )


@pytest.mark.faults
@pytest.mark.parametrize("mode", ["hang", "refuse", "slow"])
def test_with_the_database_away_everything_answers_in_time_and_no(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: Mode
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    with proxied(postgres_url) as (proxy, url):
        for name, value in {
            "ENV": "production",
            "GO_LIVE_ENFORCE": "1",
            "DATABASE_URL": url,
            "GOLIVE_DATABASE_DEADLINE_SECONDS": "0.5",
            "GOLIVE_STATE_MAX_AGE_SECONDS": "1",
            "GOLIVE_SPOOL_DIR": str(tmp_path / "spool"),
        }.items():
            monkeypatch.setenv(name, value)
        headers = token(url, "operate", "ingest", "read")
        with serving(url) as client:
            assert client.get(f"{RUNBOOK}/gate", headers=headers).status_code == 200
            assert client.get("/readyz").status_code == 200
            proxy.mode = mode
            time.sleep(1.1)
            asked = [
                ("GET", f"{RUNBOOK}/status"),
                ("GET", f"{RUNBOOK}/gate"),
                ("GET", f"{RUNBOOK}/gate?view=argo"),
                ("POST", f"{RUNBOOK}/gate/flagger"),
                ("GET", "/metrics"),
                ("GET", "/readyz"),
                ("GET", "/livez"),
                ("GET", f"{STATE}/state"),
            ]
            began = time.monotonic()
            with ThreadPoolExecutor(len(asked)) as pool:
                status, gate, argo, flagger, metrics, ready, live, state = pool.map(
                    lambda each: client.request(
                        *each, headers=headers, json=None if each[0] == "GET" else {}
                    ),
                    asked,
                )
            assert time.monotonic() - began < 9  # Prometheus waits 10 by default
            assert "kill_switch_clear" in {check["id"] for check in status.json()["blockers"]}
            assert gate.status_code == 412
            assert argo.json()["data"]["verdict"] in ("fail", "inconclusive")
            assert flagger.status_code == 403
            assert "golive_runbook_ok_to_enable_go_live 0.0" in metrics.text
            assert ready.status_code == 503
            assert live.status_code == 200
            assert state.status_code == 503
            assert int(state.headers["retry-after"]) > 0
            assert "127.0.0.1" not in state.text
            proxy.mode = "pass"
            wait_until(
                lambda: (
                    client.post(
                        f"{STATE}/kill-switch/engage", json={"reason": "now"}, headers=headers
                    ).status_code
                    == 200
                ),
                10,
            )
            wait_until(
                lambda: (
                    client.get(f"{RUNBOOK}/gate", headers=headers).json()["blockers"] == ["kill_switch_clear"]
                ),
                10,
            )


def test_an_acknowledged_kill_switch_survives_the_death_of_the_database(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database.upgrade(database.normalise_url(postgres_url))
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    headers = token(postgres_url, "operate")
    with serving(postgres_url) as client:
        for turn in range(3):
            answer = client.post(f"{STATE}/kill-switch/engage", json={"reason": f"{turn}"}, headers=headers)
            assert answer.status_code == 200
            postgres_server.kill()
            postgres_server.start()
            state = go_live.read(postgres_url)
            assert state.kill_switch_engaged
            assert state.reason == f"{turn}"
            go_live.release_kill_switch(postgres_url, actor="ops", reason="next turn")


def test_openapi_is_complete(production: str) -> None:
    document = create_app(production).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description") or operation.get("summary"), path
            assert operation["tags"], path
            guarded = path not in ("/livez", "/readyz")
            assert bool(operation.get("security")) is guarded, path
            if guarded:
                assert {"401", "403", "429"} <= operation["responses"].keys(), path
            for status, answer in operation["responses"].items():
                if (
                    status.startswith(("4", "5"))
                    and path != "/readyz"
                    and (path, status) not in OTHER_ANSWERS
                ):
                    form = "application/json" if path == "/v1/logs" else "application/problem+json"
                    assert form in answer["content"], (path, status)
            if method == "post":
                schema = operation["requestBody"]["content"]["application/json"]
                assert _has_example(document, schema["schema"]), path


OTHER_ANSWERS = {
    ("/api/governance/runbook/gate", "412"),
    ("/api/governance/runbook/gate/flagger", "403"),
}
"""No-go is an answer, not an error."""


def _has_example(document: dict[str, Any], schema: dict[str, Any]) -> bool:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    parts = schema.get("oneOf") or schema.get("anyOf")
    if parts:
        return any(_has_example(document, part) for part in parts)
    return bool(schema.get("examples"))


def test_errors_outside_the_routes_are_problem_details_too(service: httpx.Client) -> None:
    for method, path, status in [("GET", "/nowhere", 404), ("DELETE", "/api/kpi/events", 405)]:
        answer = service.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def test_an_error_nobody_expected_is_a_500_that_tells_nothing(
    production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr("golive.go_live.read", fail)
    with serving(production, anonymous=frozenset({"read"})) as client:
        answer = client.get(f"{STATE}/state")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_readiness_is_about_the_store_and_never_about_the_gate(sqlite_url: str) -> None:
    with serving_app(create_app(sqlite_url)) as client:
        governance.engine_for(sqlite_url)
        unready = client.get("/readyz")
        assert (unready.status_code, "tables" in unready.text) == (503, True)
        database.upgrade(database.normalise_url(sqlite_url))
        wait_until(lambda: client.get("/readyz").json() == {"status": "ok", "detail": None}, 3)
        go_live.engage_kill_switch(sqlite_url, actor="ops", reason="now")
        assert client.get("/readyz").status_code == 200


def test_a_lost_end_of_the_audit_chain_is_told_from_missing_tables(
    service: httpx.Client, production: str, caplog: pytest.LogCaptureFixture
) -> None:
    with governance.engine_for(production).begin() as connection:
        connection.execute(text("DELETE FROM governance_audit_head"))
    refused = service.post(f"{STATE}/disable", json={"reason": "r", "version": 1})
    assert (refused.status_code, "damaged" in refused.json()["detail"]) == (503, True)
    assert "governance_audit_head has lost its row" in caplog.text


def test_a_broken_audit_chain_blocks_and_is_found_by_the_service_itself(
    production: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLIVE_SPOOL_DIR", str(tmp_path / "spool"))
    for number in range(120):
        go_live.engage_kill_switch(production, actor="ops", reason=f"{number}")
    go_live.release_kill_switch(production, actor="ops", reason="done")
    with governance.engine_for(production).begin() as connection:
        connection.execute(text("UPDATE governance_audit SET reason = 'forged' WHERE id = 3"))
    with serving(production, anonymous=frozenset({"runbook"}), audit_interval_s=1) as client:

        def broken_id() -> int | None:
            blockers = client.get(f"{RUNBOOK}/status").json()["blockers"]
            # Before it is verified for the first time, that is what blocks.
            return next((check["detail"].get("broken_id") for check in blockers), None)

        wait_until(lambda: broken_id() == 3, 10)
        assert client.get(f"{RUNBOOK}/gate").json()["blockers"] == ["audit_chain_intact"]
        [blocker] = client.get(f"{RUNBOOK}/status").json()["blockers"]
    assert re.search(r"row 3\b", blocker["message"])
