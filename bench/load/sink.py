"""An HTTP server on loopback that takes what the peers send, in a process of its own.

It answers as soon as it has a body, and reads what is in the bodies when it is asked: it takes little of the
time of those it is measured with.
"""

import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from bench.load.places import CORRELATION_ID, ROOT, WARM
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@contextmanager
def sink() -> Iterator[str]:
    """Run one, and give its URL."""
    command = [sys.executable, "-m", "bench.load.sink"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def arrived(url: str, path: str) -> list[str]:
    """Return the correlation ids of the events in all bodies sent to a path."""
    with urllib.request.urlopen(f"{url}{path}") as answer:
        found: list[str] = json.load(answer)
    return found


def clear(url: str) -> None:
    """Forget all bodies."""
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


class Handler(BaseHTTPRequestHandler):
    """Takes bodies by POST, says by GET what came to a path, and forgets all by DELETE."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bodies: ClassVar[list[tuple[str, bool, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append((self.path, self.headers.get("Content-Encoding") == "gzip", body))
        self._answer(b'{"status": 1}' if self.path in _JSON else b"")

    def do_GET(self) -> None:
        ids = [
            each
            for path, zipped, body in list(self.bodies)
            if path == self.path
            for each in _READ[path](gzip.decompress(body) if zipped else body)
            if each != WARM
        ]
        self._answer(json.dumps(ids).encode())

    def do_DELETE(self) -> None:
        self.bodies.clear()
        self._answer(b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if body else "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _of_logs(body: bytes) -> Iterator[str]:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield from _ids(record.attributes)


def _of_spans(body: bytes) -> Iterator[str]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                # logfire sends its logs as spans of no length.
                if any(
                    a.key == "logfire.span_type" and a.value.string_value == "log" for a in span.attributes
                ):
                    yield from _ids(span.attributes)


def _of_posthog(body: bytes) -> Iterator[str]:
    return (event["properties"][CORRELATION_ID] for event in json.loads(body)["batch"])


def _ids(attributes: Iterable[Any]) -> Iterator[str]:
    return (each.value.string_value for each in attributes if each.key == CORRELATION_ID)


class Server(ThreadingHTTPServer):
    """Says nothing of peers that are killed while they send."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let the peer go."""


_JSON = {"/batch/": _of_posthog}
_READ = {"/v1/logs": _of_logs, "/v1/traces": _of_spans} | _JSON


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
