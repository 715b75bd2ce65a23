"""JSON Web Tokens of an OpenID Connect issuer, verified by PyJWT with the keys the issuer publishes."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from golive.api.hardening import is_loopback
from golive.api.problems import Problem
from golive.errors import ConfigurationError

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Signatures only: an HMAC would take a public key for a secret."""
_TIMEOUT_S: Final = 3.0
_RETRY_S: Final = 5.0
_LEEWAY_S: Final = 30.0
_MAX_DOCUMENT_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 16


class IssuerUnavailable(Problem):
    """The issuer's keys cannot be had now."""

    def __init__(self) -> None:
        super().__init__(
            503, "Not available now", "The issuer's keys cannot be had.", {"Retry-After": f"{_RETRY_S:.0f}"}
        )


class Issuer:
    """Verifies the tokens of one issuer.

    Args:
        issuer: Its URL; `https`, or `http` on loopback.
        audience: What the tokens must be made for.

    Raises:
        ConfigurationError: Such an issuer would be no proof of anything.
    """

    def __init__(self, issuer: str, audience: str) -> None:
        _check_url("GOLIVE_OIDC_ISSUER", issuer)
        self._issuer = issuer
        self._audience = audience
        self._keys: jwt.PyJWKClient | None = None
        self._lock = threading.Lock()
        self._retry_at = 0.0

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a valid token; None if it is not. May fetch the issuer's keys.

        Raises:
            IssuerUnavailable: Whether it is valid cannot be known now.
        """
        try:
            key = self._key_of(token)
            return jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            self._retry_at = time.monotonic() + _RETRY_S
            raise IssuerUnavailable from error
        except (jwt.PyJWTError, ValueError):
            return None

    def _key_of(self, token: str) -> jwt.PyJWK:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
            raise jwt.InvalidTokenError
        # One fetch at a time, and none right after one that failed: the rest need not wait for it.
        if not self._lock.acquire(timeout=_TIMEOUT_S):
            raise IssuerUnavailable
        try:
            if time.monotonic() < self._retry_at:
                raise IssuerUnavailable
            if self._keys is None:
                self._keys = self._discover()
            return self._keys.get_signing_key(header["kid"])
        except (jwt.PyJWKSetError, ValueError) as error:  # what came holds no keys: an error page, say
            raise jwt.PyJWKClientConnectionError("the issuer's keys cannot be read") from error
        finally:
            self._lock.release()

    def _discover(self) -> jwt.PyJWKClient:
        """Find out where the keys are (OpenID Connect Discovery 1.0, section 4)."""
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            document = _fetch(url)
            _check_same(document.get("issuer"), self._issuer)
            keys_url = str(document.get("jwks_uri"))
            _check_url("jwks_uri", keys_url, loopback=_is_plain(self._issuer))
        except (ValueError, ConfigurationError) as error:
            raise jwt.PyJWKClientConnectionError("the issuer's configuration cannot be read") from error
        return _Keys(keys_url)


class _Keys(jwt.PyJWKClient):
    """The published keys, fetched within the same bounds as the issuer's configuration."""

    def fetch_data(self) -> Any:
        found = _fetch(self.uri)
        if self.jwk_set_cache is not None:
            self.jwk_set_cache.put(found)
        self._last_successful_fetch = time.monotonic()
        return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for an error: who may lead golive where was settled by the configuration."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def _fetch(url: str) -> dict[str, Any]:
    """Return the JSON object at a checked address: of bounded size, within a bounded time, from nowhere else.

    Raises:
        jwt.PyJWKClientConnectionError: It cannot be had.
    """
    try:
        with _opener.open(url, timeout=_TIMEOUT_S) as response:
            return dict(json.loads(_read(response)))
    except (OSError, http.client.HTTPException, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise jwt.PyJWKClientConnectionError(f"{url} cannot be had") from error


def _read(response: http.client.HTTPResponse) -> bytes:
    deadline = time.monotonic() + _TIMEOUT_S
    content = b""
    # One read of the socket at a time: each may take the timeout, and a trickle be without end.
    while chunk := response.read1(_CHUNK_BYTES):
        content += chunk
        if len(content) > _MAX_DOCUMENT_BYTES or time.monotonic() > deadline:
            raise ValueError("too much, or too slow")
    return content


def _check_same(named: object, issuer: str) -> None:
    if named != issuer:
        raise ConfigurationError(f"GOLIVE_OIDC_ISSUER: {issuer} calls itself {named}")


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _check_url(name: str, url: str, loopback: bool = True) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if loopback and parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return
    raise ConfigurationError(f"{name}: expected https://…, or http:// on loopback, got {url}")
