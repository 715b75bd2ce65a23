"""What is fetched from an issuer: from where the configuration says, of bounded size, in bounded time."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest

from golive.api import oidc
from golive.api.oidc import Issuer, IssuerUnavailable

CONFIGURATION = "/.well-known/openid-configuration"
TOKEN = jwt.encode({"sub": "carol"}, "x" * 32, headers={"kid": "k1"}).split(".")
HEADER = jwt.utils.base64url_encode(b'{"alg":"RS256","kid":"k1"}').decode()
SIGNED = ".".join([HEADER, *TOKEN[1:]])


class Server:
    """Answers each path with what a test put there: a body, the address of a redirect, or a trickle."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.trickles: set[str] = set()
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(302 if self.path in outer.redirects else 200)
                if self.path in outer.redirects:
                    self.send_header("Location", outer.redirects[self.path])
                self.end_headers()
                try:
                    self.wfile.write(outer.bodies.get(self.path, b""))
                    while self.path in outer.trickles and not outer.over.wait(0.02):
                        self.wfile.write(b" ")
                except OSError:
                    pass

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.configure(f"{self.url}/keys")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def configure(self, jwks_uri: object) -> None:
        self.bodies[CONFIGURATION] = json.dumps({"issuer": self.url, "jwks_uri": jwks_uri}).encode()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize("path", [CONFIGURATION, "/keys"])
def test_a_redirect_of_the_issuer_is_not_followed(server: Server, path: str) -> None:
    server.redirects[path] = f"{server.url}/inside"
    with pytest.raises(IssuerUnavailable):
        Issuer(server.url, "golive").claims(SIGNED)
    assert "/inside" not in server.asked


@pytest.mark.parametrize("path", [CONFIGURATION, "/keys"])
@pytest.mark.parametrize(
    "body", [b'"' + b"x" * (2 << 20) + b'"', b"[" * 100_000, b"\xff", b"", b"[]"], ids=len
)
def test_an_answer_that_is_too_large_too_deep_or_no_json_is_no_crash(
    server: Server, path: str, body: bytes
) -> None:
    server.bodies[path] = body
    with pytest.raises(IssuerUnavailable):
        Issuer(server.url, "golive").claims(SIGNED)


@pytest.mark.parametrize("path", [CONFIGURATION, "/keys"])
def test_an_answer_that_trickles_is_given_up(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "_TIMEOUT_S", 0.2)
    server.trickles.add(path)
    with pytest.raises(IssuerUnavailable):
        Issuer(server.url, "golive").claims(SIGNED)


@pytest.mark.parametrize(
    "jwks_uri",
    ["file:///etc/passwd", "ftp://127.0.0.1/keys", "http://169.254.169.254/", "//x/keys", "", 7, None],
)
def test_keys_are_fetched_from_web_addresses_only(server: Server, jwks_uri: object) -> None:
    server.configure(jwks_uri)
    with pytest.raises(IssuerUnavailable):
        Issuer(server.url, "golive").claims(SIGNED)
    assert server.asked == [CONFIGURATION]


def test_an_issuer_elsewhere_leads_nobody_to_loopback(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = "https://issuer.example"
    found = {"issuer": issuer, "jwks_uri": f"{server.url}/keys"}
    monkeypatch.setattr(oidc, "_fetch", lambda _: found)
    with pytest.raises(IssuerUnavailable):
        Issuer(issuer, "golive").claims(SIGNED)
    assert server.asked == []


def test_a_header_nested_without_end_is_no_token(server: Server) -> None:
    deep = jwt.utils.base64url_encode(b"[" * 9000).decode()
    assert Issuer(server.url, "golive").claims(f"{deep}.e30.e30") is None
    assert server.asked == []
