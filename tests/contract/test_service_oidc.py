"""Tokens of an OpenID Connect issuer: the genuine ones are taken, and an issuer that fails is not the caller's fault."""

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from golive import governance
from golive.api import create_app, limits
from golive.errors import ConfigurationError
from golive.models.base import utc_now
from golive.settings import ServiceSettings
from tests.support.service import audited, bearer, serving, token, upgraded
from tests.support.stores import one_store

ENGAGE = "/api/governance/go-live/kill-switch/engage"


class Issuer:
    """An OpenID Connect issuer on loopback, with one key."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.asked: list[str] = []
        self.works = True
        self.page: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                documents = {
                    "/.well-known/openid-configuration": {
                        "issuer": outer.url,
                        "jwks_uri": f"{outer.url}/keys",
                    },
                    "/keys": {"keys": [outer.jwk()]},
                }
                body = json.dumps(documents[self.path]).encode() if outer.works else b"{}"
                if self.path == "/keys" and outer.page is not None:
                    body = outer.page
                self.send_response(200 if outer.works else 500)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jwk(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return made | {"kid": "k1", "use": "sig", "alg": "RS256"}

    def sign(
        self, key: Any = None, algorithm: str = "RS256", kid: str = "k1", **claims: Any
    ) -> dict[str, str]:
        now = int(time.time())
        given = {"iss": self.url, "aud": "golive", "sub": "carol", "scope": "openid operate", "exp": now + 60}
        content = {name: value for name, value in (given | claims).items() if value is not None}
        return bearer(jwt.encode(content, key or self.key, algorithm=algorithm, headers={"kid": kid}))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_an_issuers_tokens_are_taken_and_only_genuine_ones(production: str, issuer: Issuer) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    past = int(time.time()) - 3600
    claims = issuer.sign()["Authorization"].split()[1].split(".")[1].encode()
    unsigned = jwt.utils.base64url_encode(b'{"alg":"none","kid":"k1"}') + b"." + claims + b"."
    with serving(production, oidc_issuer=issuer.url, oidc_audience="golive") as client:

        def status(headers: dict[str, str]) -> int:
            return client.post(ENGAGE, json={"reason": "x"}, headers=headers).status_code

        assert status(issuer.sign()) == 200
        assert status(issuer.sign(scope=None, scp=["operate"])) == 200
        assert audited(production)[-1]["actor"] == "oidc:carol"
        assert status(issuer.sign(scope="read")) == 403
        forged = [
            issuer.sign(key=other),
            issuer.sign(exp=past),
            issuer.sign(exp=None),
            issuer.sign(sub=None),
            issuer.sign(aud="another"),
            issuer.sign(iss="http://127.0.0.1:1"),
            issuer.sign(sub="x" * 300),
            issuer.sign(sub="new\nline"),
            bearer(unsigned.decode()),
            issuer.sign(kid="unknown"),
            bearer("not.a.token"),
        ]
        assert [status(headers) for headers in forged] == [401] * len(forged)
        # The public key as the secret of an HMAC: the classic confusion.
        header = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"k1"}')
        signed = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = jwt.utils.base64url_encode(signed.sign(header + b"." + claims, public))
        assert status(bearer(b".".join([header, claims, signature]).decode())) == 401
    assert issuer.asked.count("/keys") <= 2, "an unknown key id makes the service fetch again and again"


def test_an_issuers_token_signs_in_to_the_page_until_it_expires(production: str, issuer: Issuer) -> None:
    with serving(production, oidc_issuer=issuer.url, oidc_audience="golive") as client:
        shown = issuer.sign(scope="read operate", exp=int(time.time()) + 600)["Authorization"].split()[1]
        answer = client.post("/sign-in", data={"token": shown})
        assert answer.status_code == 303
        assert 0 < int(answer.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0]) <= 600
        assert "oidc:carol" in client.get("/").text
        issuer.works = False  # the session is golive's own
        time.sleep(1.1)
        assert client.get("/audit").status_code == 200
        with governance.reading(production) as connection:
            (expires_at,) = connection.exec_driver_sql("SELECT expires_at FROM page_session").one()
        assert str(expires_at) < str(utc_now() + dt.timedelta(seconds=601)).partition("+")[0]


@one_store
def test_an_issuer_that_is_away_is_503_and_does_not_keep_golives_own_tokens_waiting(
    production: str, issuer: Issuer
) -> None:
    own = token(production, "operate")
    issuer.works = False
    with serving(production, oidc_issuer=issuer.url, oidc_audience="golive") as client:
        for _ in range(20):
            assert client.post(ENGAGE, json={"reason": "x"}, headers=issuer.sign()).status_code == 503
        assert len(issuer.asked) <= 2
        assert client.post(ENGAGE, json={"reason": "x"}, headers=own).status_code == 200


@pytest.mark.parametrize("page", [b"<html>maintenance</html>", b'{"keys": []}', b'{"keys": [{"kty": "x"}]}'])
def test_keys_that_cannot_be_read_are_the_issuers_fault_and_nobodys_guess(
    sqlite_url: str, issuer: Issuer, page: bytes
) -> None:
    issuer.page = page
    with serving(upgraded(sqlite_url), oidc_issuer=issuer.url, oidc_audience="golive") as client:
        for _ in range(limits.FAILURES_PER_MINUTE + 1):
            assert client.post(ENGAGE, json={"reason": "r"}, headers=issuer.sign()).status_code == 503


def test_an_issuer_over_plain_http_is_refused(production: str) -> None:
    for issuer in ("http://issuer.example", "ftp://127.0.0.1", "issuer"):
        with pytest.raises(ConfigurationError, match="GOLIVE_OIDC_ISSUER"):
            create_app(production, ServiceSettings(oidc_issuer=issuer, oidc_audience="golive"))
