"""ClickHouse's engine behind its HTTP interface: what the driver asks of a server, this answers from `chdb`.

    python clickhouse_server.py FOLDER PORT     # 0: a free one; prints its port, and serves until its standard input ends

One statement at a time. Settings in the address are taken if the engine knows their names, and do nothing.
"""

import gzip
import re
import sys
import tempfile
import threading
import zlib
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import chdb  # type: ignore[import-not-found,unused-ignore] # an optional group
import lz4.frame  # type: ignore[import-untyped] # the driver's own

_INSERT = re.compile(rb"^\s*(INSERT INTO .+?) FORMAT (\w+)\n", re.DOTALL)
_CODE = re.compile(r"Code: (\d+)")


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    engine: ClassVar[Any]
    lock: ClassVar[Any] = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if (kind := self.headers.get("Content-Type") or "").startswith("multipart/form-data"):
            given |= _fields(kind, body)  # what is too long for an address
            body = b""
        statement = b"\n".join(part for part in (given.pop("query", "").encode(), self._plain(body)) if part)
        try:
            with self.lock:
                answer = self._run(statement, given)
        except Exception as error:
            found = _CODE.search(str(error))
            self._answer(
                500, str(error).encode(), {"X-ClickHouse-Exception-Code": found[1] if found else "1"}
            )
        else:
            self._answer(200, answer, {})

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _plain(self, body: bytes) -> bytes:
        match self.headers.get("Content-Encoding"):
            case "lz4":
                return bytes(lz4.frame.decompress(body))
            case "gzip":
                return gzip.decompress(body)
            case "deflate":
                return zlib.decompress(body)
        return body

    def _run(self, statement: bytes, given: dict[str, str]) -> bytes:
        self.engine.query(f"USE `{given.get('database') or 'default'}`")
        if (insert := _INSERT.match(statement)) is None:
            values = {
                name.removeprefix("param_"): text for name, text in given.items() if name.startswith("param_")
            }
            return bytes(self.engine.query(statement.decode(), "TabSeparated", params=values).bytes())
        with tempfile.NamedTemporaryFile() as file:
            file.write(statement[insert.end() :])
            file.flush()
            into = f"{insert[1].decode()} FROM INFILE '{file.name}' FORMAT {insert[2].decode()}"
            return bytes(self.engine.query(into, "TabSeparated").bytes())

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (
            headers | {"Content-Length": str(len(body)), "X-ClickHouse-Timezone": "UTC"}
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _fields(kind: str, body: bytes) -> dict[str, str]:
    form: Any = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
        for part in form.get_payload()
    }


if __name__ == "__main__":
    engine: Any = chdb
    Handler.engine = engine.connect(str(Path(sys.argv[1]) / "data"))
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
