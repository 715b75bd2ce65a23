"""A real Prometheus, where one is installed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.service import wait_until


def installed(program: str) -> str:
    """Return the program's path; without it the test is skipped, but not where CI runs it."""
    found = shutil.which(program)
    if found is None:
        package = "prometheus" if program == "promtool" else program
        message = f"{program} is not installed: apt-get install --no-install-recommends {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(f"NOT TESTED, {message}")
    return found


def promtool_problems(metrics: str) -> str:
    """Return what `promtool check metrics` finds wrong."""
    done = subprocess.run(
        [installed("promtool"), "check", "metrics"], input=metrics, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr if done.returncode else ""


class Prometheus:
    """A running Prometheus, asked over its HTTP interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10)
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the single value of a query; None if there is none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if len(result) == 1 else None

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Return the exemplars stored for a query's series."""
        answer = httpx.get(
            f"{self.url}/api/v1/query_exemplars",
            params={"query": expression, "start": "0", "end": "9999999999"},
            timeout=10,
        )
        found: list[dict[str, Any]] = answer.json()["data"]
        return found


@contextmanager
def prometheus(folder: Path, target: str, interval: str = "500ms") -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target`, given as host:port."""
    configuration = (
        f"global: {{scrape_interval: {interval}}}\n"
        f"scrape_configs:\n  - job_name: golive\n    static_configs: [{{targets: ['{target}']}}]\n"
    )
    with configured_prometheus(folder, configuration) as running:
        yield running


@contextmanager
def configured_prometheus(folder: Path, configuration: str) -> Iterator[Prometheus]:
    """Run a Prometheus with this configuration, given as YAML."""
    program = installed("prometheus")
    file = folder / "prometheus.yml"
    file.write_text(configuration)
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        with subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
        ) as process:
            running = Prometheus(f"http://127.0.0.1:{port}")
            try:
                wait_until(lambda: _ready(running.url), 30)
                yield running
            finally:
                process.terminate()
                process.wait(20)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
