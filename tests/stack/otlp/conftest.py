"""OpenTelemetry in JavaScript, beside golive: its packages, and the receiver."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port

FOLDER = Path(__file__).parent
NODE = shutil.which("node") or "node"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder of the JavaScript programs, with the packages they need."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("NOT TESTED, Node.js and npm are not installed")
    installed, wanted = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package.json"
    with wanted.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # one test process installs, the others wait
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, timeout=300)
            if done.returncode:
                pytest.skip(f"NOT TESTED, npm could not install the packages: {done.stderr[-300:]}")
            installed.touch()
    return FOLDER


@dataclass
class Receiver:
    """A receiver of OTLP that golive had no part in; it may be killed, and started again on its ports."""

    file: Path
    http_port: int
    grpc_port: int
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        command = [NODE, "receiver.cjs", str(self.http_port), str(self.grpc_port), str(self.file)]
        self.process = subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None
            # What it had no time to finish is no line, nor the beginning of the next one.
            self.file.write_text("".join(f"{line}\n" for line in self._lines()))

    def endpoint(self, protocol: str) -> str:
        return f"http://127.0.0.1:{self.grpc_port if protocol == 'grpc' else self.http_port}"

    def received(self, signal: str) -> list[dict[str, Any]]:
        """Return the spans, metrics or log records received, each with the attributes of its resource."""
        parts = {
            "traces": ("Spans", "spans"),
            "metrics": ("Metrics", "metrics"),
            "logs": ("Logs", "logRecords"),
        }
        part, items = parts[signal]
        found = []
        for line in self._lines():
            kind, request = json.loads(line, object_hook=_long)
            for resource in request[f"resource{part}"] if kind == signal else ():
                about = _plain(resource["resource"])["attributes"]
                for scope in resource[f"scope{part}"]:
                    found += [_plain(item) | {"resource": about} for item in scope[items]]
        return found

    def _lines(self) -> list[str]:
        text = self.file.read_text() if self.file.exists() else ""
        return text.split("\n")[:-1]


@pytest.fixture
def receiver(packages: Path, tmp_path: Path) -> Iterator[Receiver]:
    started = Receiver(tmp_path / "received.jsonl", free_port(), free_port())
    started.start()
    yield started
    started.kill()


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return it with its attributes as a mapping of plain values."""
    attributes = {
        pair["key"]: next(iter(pair["value"].values()), None) for pair in item.get("attributes", ())
    }
    return item | {"attributes": attributes}


def _long(parsed: dict[str, Any]) -> Any:
    """Return the integer behind JavaScript's form of one of 64 bits."""
    if parsed.keys() != {"low", "high", "unsigned"}:
        return parsed
    return parsed["high"] << 32 | parsed["low"] & 0xFFFFFFFF
