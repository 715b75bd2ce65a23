"""The composition without its containers: the same configuration files, with other addresses and folders.

The servers are those that can be had: golive, PostgreSQL, Prometheus and Alertmanager, and the receiver of
alerts. Collector, Tempo and Grafana are held against their configuration only.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from deploy import make_secrets
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.prometheus import Prometheus, configured_prometheus, installed
from tests.support.service import answers, bearer, golive_serve, wait_until

ROOT = Path(__file__).parents[2]
_SECRETS = "/run/secrets/golive"


@dataclass
class Stack:
    """What runs, and how to reach it."""

    folder: Path
    environment: dict[str, str]
    port: int
    database: str
    """Host and port of PostgreSQL."""
    golive: httpx.Client
    prometheus: Prometheus
    alertmanager: str

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def told(self) -> list[dict[str, Any]]:
        """Return the alerts the receiver was told of, the oldest first."""
        return [json.loads(line) for line in (self.folder / "alerts.txt").read_text().splitlines()]

    def connect(self, user: str = "golive") -> "psycopg.Connection[tuple[Any, ...]]":
        password = self.secret("postgres_password" if user == "golive" else f"{user}_db_password")
        url = f"postgresql://{self.database}/golive"
        return psycopg.connect(url, user=user, password=password, autocommit=True)

    @contextmanager
    def program(self, *arguments: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a Python module beside the service until the block ends, as the service `load` does; spans go to its log."""
        command = [sys.executable, "-m", *map(str, arguments)]
        environment = self.environment | {"OTEL_TRACES_EXPORTER": "console"}
        with (
            (self.folder / f"{arguments[0]}.log").open("w") as log,
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait(20)


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Run the stack in a folder, in the order docker-compose.yml has."""
    for program in ("prometheus", "prometheus-alertmanager"):
        installed(program)
    with ExitStack() as stack:
        alert_log = free_port()
        secrets = folder / "secrets"
        secrets.mkdir()
        (secrets / "alert_webhook_url").write_text(f"http://127.0.0.1:{alert_log}/")  # one of one's own
        make_secrets.main(secrets)

        database = f"127.0.0.1:{stack.enter_context(_postgres(secrets)).port}"
        environment = _environment(folder, f"postgresql://golive@{database}/golive")
        subprocess.run(
            [sys.executable, "-m", "deploy.prepare", secrets],
            check=True,
            cwd=ROOT,
            env=environment,
            timeout=60,
        )
        golive = f"127.0.0.1:{free_port()}"
        stack.enter_context(_golive(folder, environment, golive))
        stack.enter_context(_alert_log(folder, alert_log))
        alertmanager = f"127.0.0.1:{free_port()}"
        stack.enter_context(_alertmanager(folder, alertmanager))
        written = _replaced(
            ROOT / "deploy" / "prometheus.yml",
            {
                "golive:8000": golive,
                "alertmanager:9093": alertmanager,
                "/etc/prometheus/rules": str(ROOT / "dashboards" / "prometheus" / "rules"),
                _SECRETS: str(secrets),
            },
        )
        prometheus = stack.enter_context(configured_prometheus(folder, written))
        headers = bearer((secrets / "operator_token").read_text().strip())
        client = stack.enter_context(httpx.Client(base_url=f"http://{golive}", headers=headers, timeout=30))
        yield Stack(folder, environment, alert_log, database, client, prometheus, f"http://{alertmanager}")


def _environment(folder: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOLIVE_", "OTEL_"))}
    return kept | {
        "DATABASE_URL": url,
        "PGPASSFILE": str(folder / "secrets" / "pgpass"),
        "GOLIVE_SPOOL_DIR": str(folder / "spool"),
        "ENV": "production",
        "GO_LIVE_ENFORCE": "1",
    }


@contextmanager
def _postgres(secrets: Path) -> Iterator[PostgresServer]:
    """Run PostgreSQL with what its image makes of POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD_FILE."""
    server = PostgresServer()
    server.start()
    try:
        password = (secrets / "postgres_password").read_text()
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE golive SUPERUSER LOGIN PASSWORD '{password}'".encode())
            connection.execute("CREATE DATABASE golive OWNER golive")
        server.require_passwords()
        wait_until(lambda: not _lets_in(server.url()))
        yield server
    finally:
        server.remove()


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _golive(folder: Path, environment: dict[str, str], address: str) -> Iterator[None]:
    port = int(address.rpartition(":")[2])
    with golive_serve(folder, environment, "--host", "0.0.0.0", port=port):
        yield


@contextmanager
def _alert_log(folder: Path, port: int) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "deploy.alert_log",
        str(port),
        str(folder / "secrets" / "alert_webhook_token"),
    ]
    with (folder / "alerts.txt").open("w") as printed:
        with subprocess.Popen(command, cwd=ROOT, stdout=printed) as process:
            try:
                wait_until(lambda: answers(f"http://127.0.0.1:{port}/"))
                yield
            finally:
                process.terminate()
                process.wait(10)


@contextmanager
def _alertmanager(folder: Path, address: str) -> Iterator[None]:
    """Run Alertmanager; to Debian's 0.25 a webhook's address is no secret, and stands in the configuration."""
    secrets = folder / "secrets"
    written = _replaced(
        ROOT / "dashboards" / "prometheus" / "alertmanager.yml",
        {
            f"url_file: {_SECRETS}/alert_webhook_url": f"url: {(secrets / 'alert_webhook_url').read_text()}",
            _SECRETS: str(secrets),
        },
    )
    file = folder / "alertmanager.yml"
    file.write_text(written)
    command = [
        installed("prometheus-alertmanager"),
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with (folder / "alertmanager.log").open("w") as log:
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                wait_until(lambda: answers(f"http://{address}/-/ready"), 30)
                yield
            finally:
                process.terminate()
                process.wait(20)


def _replaced(file: Path, addresses: dict[str, str]) -> str:
    text = file.read_text()
    for address, other in addresses.items():
        assert address in text, f"{file.name} names {address} no more"
        text = text.replace(address, other)
    return text


def seconds_until(condition: Any, timeout_s: float) -> float:
    """Return how long it took until the condition held."""
    began = time.monotonic()
    wait_until(condition, timeout_s)
    return time.monotonic() - began
