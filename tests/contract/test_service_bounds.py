"""What hostile and broken clients send does not take the service down, and gets a documented answer."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from golive.api import limits
from tests.support.service import JSON, golive_serve, serving, token, upgraded

CONFIGURATION = Path(__file__).parents[1] / "support" / "schemathesis.toml"
KPI = "/api/governance/regression/kpi"


@pytest.fixture
def service(sqlite_url: str) -> Iterator[httpx.Client]:
    with serving(upgraded(sqlite_url)) as client:
        client.headers.update(token(sqlite_url, "read", "ingest", "operate"))
        yield client


@pytest.fixture
def one_worker(
    sqlite_url: str, tmp_path: Path, environment: dict[str, str]
) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """A client of `golive serve`, and its process, whose memory can be looked at."""
    shell = environment | {"DATABASE_URL": upgraded(sqlite_url)}
    headers = token(sqlite_url, "read", "ingest", "operate")
    with golive_serve(tmp_path, shell) as (url, process, _):
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            yield client, psutil.Process(process.pid)


def test_a_body_of_a_hundred_megabytes_is_refused_and_never_held(
    one_worker: tuple[httpx.Client, psutil.Process],
) -> None:
    client, process = one_worker
    client.post(KPI, json={"domain": "W", "metric": "m"}).raise_for_status()
    before = process.memory_info().rss

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (1 << 20)

    assert client.post(KPI, content=b" " * (100 << 20), headers=JSON).status_code == 413
    # Without a length, in chunks: it shows only while it is read.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        assert client.post(KPI, content=chunks(), headers=JSON).status_code == 413
    assert process.memory_info().rss - before < 40 << 20
    assert client.get("/livez").status_code == 200
    assert client.post(KPI, json={"domain": "W", "metric": "m"}).status_code == 201


def test_a_batch_of_a_million_events_is_refused_quickly(
    one_worker: tuple[httpx.Client, psutil.Process],
) -> None:
    client, process = one_worker
    before = process.memory_info().rss
    body = b'{"events":[' + b",".join([b'{"domain":"W","metric":"m","success":true}'] * 1_000_000) + b"]}"
    assert client.post(KPI, content=body, headers=JSON).status_code == 413
    # As many as fit into the bytes allowed, and still too many events.
    body = b'{"events":[' + b",".join([b'{"domain":"W","metric":"m"}'] * 140_000) + b"]}"
    assert len(body) < 4 << 20
    began = time.monotonic()
    assert client.post(KPI, content=body, headers=JSON).status_code in (413, 422)
    assert time.monotonic() - began < 5
    assert process.memory_info().rss - before < 400 << 20
    assert client.get("/api/kpi/events").json()["events"] == []


def test_slow_clients_do_not_keep_others_waiting_and_are_cut_off(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 1.0)
    address = (service.base_url.host, service.base_url.port or 80)
    head = (
        f"POST {KPI} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        f"Authorization: {service.headers['Authorization']}\r\n\r\n"
    ).encode()
    slow = [socket.create_connection(address, timeout=10) for _ in range(100)]
    for connection in slow:
        connection.sendall(head)
    stopping = threading.Event()

    def trickle() -> None:
        while not stopping.wait(0.1):
            for connection in slow:
                try:
                    connection.send(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        began = time.monotonic()
        assert service.post(KPI, json={"domain": "W", "metric": "m"}).status_code == 201
        assert service.get("/api/kpi/summary").status_code == 200
        assert time.monotonic() - began < 2
        answer = slow[0].recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"application/problem+json" in answer
    finally:
        stopping.set()
        thread.join()
        for connection in slow:
            connection.close()


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff\xfe", JSON, 422),
        (b"{", JSON, 422),
        (b"[" * 100_000, JSON, 422),
        (b'{"domain":"W","metric":"m","detail":' + b"[" * 5000 + b"]" * 5000 + b"}", JSON, (201, 422)),
        (b'"text"', JSON, 422),
        (b"null", JSON, 422),
        (b"[]", JSON, 422),
        (b"", JSON, 422),
        (b"domain=W", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Type": ""}, 415),
        (b'{"domain":"W","metric":"m","value":' + b"9" * 5000 + b"}", JSON, 422),
        (b'{"domain":"\\ud800","metric":"m"}', JSON, 422),
        (b'{"domain":"W","metric":"m","detail":"\\ud800"}', JSON, (201, 422)),
        (b'{"domain":"W","metric":"m","detail":{"a":1e999}}', JSON, (201, 422)),
    ],
)
def test_a_body_that_is_no_event_is_a_documented_error(
    service: httpx.Client, content: bytes, headers: dict[str, str], status: int | tuple[int, ...]
) -> None:
    answer = service.post(KPI, content=content, headers=headers)
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    assert service.post(KPI, json={"domain": "W", "metric": "m"}).status_code == 201


@pytest.mark.stack
def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(
    sqlite_url: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    headers = token(upgraded(sqlite_url), "read", "ingest", "operate")
    examples = os.environ.get("GOLIVE_SCHEMATHESIS_EXAMPLES", "40")
    shell = environment | {"DATABASE_URL": sqlite_url, "GOLIVE_REQUESTS_PER_MINUTE": "1000000"}
    shell["GOLIVE_ANONYMOUS"] = "none"
    with golive_serve(tmp_path, shell) as (url, _, _):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                f"--config-file={CONFIGURATION}",
                "run",
                f"{url}/api/openapi.json",
                "--checks=all",
                f"--max-examples={examples}",
                f"--header=Authorization: {headers['Authorization']}",
                "--generation-deterministic",
                "--suppress-health-check=all",
                "--no-color",
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        print(json.dumps(done.stdout.splitlines()[-30:], indent=1))
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert httpx.get(f"{url}/readyz").status_code == 200
