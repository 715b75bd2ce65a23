"""Web servers of several kinds, under load."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.faults.machine import PROGRAMS, Machine
from tests.support.ports import free_port


@contextmanager
def serving(
    machine: Machine, *command: str, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run a server (PORT in the command stands for its port), and yield it and its URL once it answers."""
    machine.acknowledged.mkdir(exist_ok=True)
    port = str(free_port())
    words = [word.replace("PORT", port) for word in command]
    environment = {"ACKNOWLEDGED": str(machine.acknowledged)} | environment
    log = machine.folder / "server.log"
    with log.open("ab") as output:
        with subprocess.Popen(
            words,
            cwd=PROGRAMS,
            env=machine.environment(**environment),
            stdout=output,
            stderr=output,
            text=True,
        ) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                _wait_until_it_answers(url, process, log)
                yield process, url
            finally:
                if process.poll() is None:
                    process.kill()


def gunicorn(worker: str, workers: int, *options: str) -> list[str]:
    """Return the command of a gunicorn with workers of a kind: `sync`, `gevent` or `uvicorn`."""
    kind, application = worker, "web:wsgi"
    if worker == "uvicorn":
        kind, application = "uvicorn.workers.UvicornWorker", "web:app"
    command = [sys.executable, "-m", "gunicorn", "-k", kind, "-w", str(workers), "-b", "127.0.0.1:PORT"]
    return [*command, "--no-control-socket", *options, application]


def acknowledged(machine: Machine) -> list[str]:
    """Return the correlation id of every event whose call returned, sorted."""
    files = machine.acknowledged.iterdir()
    return sorted(line for file in files for line in file.read_text().split("\n")[:-1])


class Load:
    """Clients that send requests until they are told to stop, or the server is gone."""

    def __init__(self, url: str, clients: int = 8) -> None:
        self.answered_by: set[str] = set()
        self._url = url
        self._stopping = False
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stopping:
            # A client of its own for each request, for a kept connection would stay with one worker.
            try:
                with httpx.Client(trust_env=False, timeout=20) as client:
                    self.answered_by.add(client.get(self._url).text)
            except httpx.HTTPError:
                time.sleep(0.02)


def _wait_until_it_answers(url: str, process: "subprocess.Popen[str]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False, timeout=20)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server did not come up:\n{log.read_text()}")
