"""The service over real HTTP: in a thread of the test, or as processes of its own."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from golive import database, tokens
from golive.api import create_app
from golive.settings import ServiceSettings
from tests.support.cli import COMMAND
from tests.support.ports import free_port

JSON = {"Content-Type": "application/json"}


def token(url: str, *scopes: str, name: str = "tester") -> dict[str, str]:
    """Make a token and return the header that shows it."""
    return bearer(tokens.create(url, name=name, scopes=scopes, actor="test"))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@contextmanager
def serving(url: str, **settings: Any) -> Iterator[httpx.Client]:
    """Give a client of a service on this database, both in this process."""
    with serving_app(create_app(url, ServiceSettings(**settings))) as client:
        yield client


@contextmanager
def serving_app(app: Any) -> Iterator[httpx.Client]:
    """Give a client of an ASGI application, both in this process."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def golive_serve(
    folder: Path, environment: dict[str, str], *options: str, port: int | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]", Path]]:
    """Run `golive serve`; give its URL, the process, and the file of what it printed to standard output."""
    port = port or free_port()
    printed = folder / f"serve-{port}.txt"
    with (
        printed.open("w") as output,
        (folder / f"serve-{port}.log").open("w") as log,
        subprocess.Popen(
            [*COMMAND, "serve", "--port", str(port), *options],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(f"{url}/livez") or process.poll() is not None, 30)
            assert process.poll() is None, (folder / f"serve-{port}.log").read_text()
            yield url, process, printed
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def wait_until(condition: Any, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def audited(url: str) -> list[dict[str, Any]]:
    """Return the acts in the audit trail, the oldest first."""
    from golive import audit, governance

    with governance.reading(url) as connection:
        found = [entry._asdict() for entry in audit.entries(connection, limit=1000)]
    return json.loads(json.dumps(found[::-1], default=str))  # type: ignore[no-any-return]


def upgraded(url: str) -> str:
    database.upgrade(database.normalise_url(url))
    return url
