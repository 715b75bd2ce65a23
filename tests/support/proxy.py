"""A TCP proxy on loopback that can be told to stop answering, for what a network does to a database."""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Mode = Literal["pass", "hang", "slow", "refuse", "reset", "lose commit", "lose client", "lose answer"]
"""`hang`: accepts and never answers, old connections too. `slow`: each answer takes `delay_s`. `refuse`:
ends every connection. `reset`: of what is sent next a half arrives, and a reset follows. `lose commit`: the
next COMMIT (or what `loses` names) ends its connection and never arrives. `lose client`: it arrives, and its
connection ends at once, `lose answer`: when the answer comes."""

_AT_ONCE = struct.pack("ii", 1, 0)
"""What `SO_LINGER` takes to have `close` send a reset."""


class Proxy:
    """Forwards from a port of its own to `port`."""

    def __init__(self, port: int, delay_s: float = 1.0) -> None:
        self.mode: Mode = "pass"
        self.delay_s = delay_s
        self.loses = b"COMMIT\0"  # and not the COMMITTED of a level of isolation
        self._target = port
        self._closing = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing = True
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closing:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while self.mode == "hang" and not self._closing:
                if _readable(client) and client.recv(1, socket.MSG_PEEK) == b"":
                    return
                time.sleep(0.02)  # what the client sent stays readable
            if self.mode in ("refuse", "reset"):
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while not self._closing and self.mode != "refuse":
            if self.mode == "hang":
                # The client may give up; whatever it sends gets no answer.
                if _readable(client) and client.recv(65536) == b"":
                    return
                continue
            for source in _readable(client, server):
                if self.mode in ("hang", "refuse"):
                    break
                data = source.recv(65536)
                if not data:
                    return
                if self.mode == "reset":
                    (server if source is client else client).sendall(data[: len(data) // 2])
                    for each in (client, server):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    return
                if source is server and self.mode == "slow":
                    time.sleep(self.delay_s)
                if source is client and self.mode.startswith("lose") and self.loses in data:
                    self._lose(data, client, server)
                    return
                (server if source is client else client).sendall(data)

    def _lose(self, commit: bytes, client: socket.socket, server: socket.socket) -> None:
        mode, self.mode = self.mode, "pass"
        if mode == "lose client":
            server.sendall(commit)
        if mode == "lose answer":
            while commit:
                server.sendall(commit)
                while not (readable := _readable(client, server)):
                    continue
                # The rest of it, if it comes in pieces; the answer ends the wait.
                commit = b"" if server in readable else client.recv(65536)


def _readable(*sockets: socket.socket) -> list[socket.socket]:
    """Return which of them have something to read, after 20 ms at the latest."""
    # Not `select.select`: it takes no descriptor above 1,023.
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        return [each for each in sockets if each in {key.fileobj for key, _ in selector.select(0.02)}]


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """Give a proxy before a PostgreSQL server, and the URL that goes through it."""
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    proxy = Proxy(parsed.port or 5432)
    try:
        yield proxy, parsed.set(port=proxy.port).render_as_string(hide_password=False)
    finally:
        proxy.close()
