"""Clients of the service in a process of their own: each sends a request when the one before is answered.

    python -m bench.load.client PORT CONNECTIONS SECONDS FILE

The file has the requests, pickled; a single one is sent again and again. Who is told when to come again waits
until then, and sends the same. Bare sockets, so that the client takes little of the machine it measures.
"""

import itertools
import json
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

from bench.load.figures import Latency
from bench.load.places import ROOT

_PATIENCE_S = 60.0
_TAKEN = (200, 201)


class Sent(NamedTuple):
    """What came of it.

    Attributes:
        began: When, by the monotonic clock.
        took_s: From the first request to the last answer.
        answers: How many of each status; 0 stands for a connection that broke or timed out.
        latency: Of those that were taken, in seconds.
        cpu: The client's share of one core.
    """

    began: float
    took_s: float
    answers: dict[str, int]
    latency: Latency
    cpu: float

    @property
    def taken(self) -> int:
        """How many requests were taken."""
        return self.answers.get("200", 0) + self.answers.get("201", 0)

    @property
    def refused(self) -> int:
        """How many were answered with 429 or 503: to be sent again later."""
        return self.answers.get("429", 0) + self.answers.get("503", 0)

    @property
    def failed(self) -> int:
        """How many came to anything else."""
        return sum(self.answers.values()) - self.taken - self.refused


def send(port: int, requests: list[bytes], connections: int, seconds: float) -> Sent:
    """Send the requests over so many connections for that long, or until they are used up."""
    with tempfile.NamedTemporaryFile() as file:
        pickle.dump(requests, file)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "bench.load.client",
            str(port),
            str(connections),
            str(seconds),
            file.name,
        ]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return Sent(found["began"], found["took_s"], found["answers"], Latency(*found["latency"]), found["cpu"])


def main(port: int, connections: int, seconds: float, requests: list[bytes]) -> dict[str, Any]:
    queue = iter(requests) if len(requests) > 1 else itertools.repeat(requests[0])
    took: list[float] = []
    answers: Counter[int] = Counter()
    until = time.monotonic() + seconds

    def run() -> None:
        connection = _Connection(port)
        for request in queue:
            status = 0
            while status not in _TAKEN and time.monotonic() < until:
                before = time.monotonic()
                status, wait_s = connection.ask(request)
                answers[status] += 1
                if status in _TAKEN:
                    took.append(time.monotonic() - before)
                elif wait_s:
                    time.sleep(wait_s)
            if time.monotonic() > until:
                return

    began, busy = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=run) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began
    return {
        "began": began,
        "took_s": took_s,
        "answers": answers,
        "latency": Latency.of(took),
        "cpu": (time.process_time() - busy) / took_s,
    }


class _Connection:
    """A connection that is kept, and made anew when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, float]:
        """Return the status of the answer, 0 if there was none, and when to come again, in seconds."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), _PATIENCE_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._answer(self._socket)
        except OSError:
            self._close()
            return 0, 0.0

    def _answer(self, connected: socket.socket) -> tuple[int, float]:
        received = b""
        while (head_end := received.find(b"\r\n\r\n")) < 0:
            received += self._more(connected)
        head = received[:head_end].lower()
        missing = head_end + 4 + _number(head, b"content-length") - len(received)
        while missing > 0:
            missing -= len(self._more(connected))
        if b"connection: close" in head:
            self._close()
        return int(head[9:12]), float(_number(head, b"retry-after"))

    def _more(self, connected: socket.socket) -> bytes:
        part = connected.recv(65536)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        return part

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _number(head: bytes, name: bytes) -> int:
    _, found, rest = head.partition(name + b":")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


if __name__ == "__main__":
    with open(sys.argv[4], "rb") as file:
        given = pickle.load(file)
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), given)))
