"""Who asks, and whether they may: bearer tokens of golive's own and an issuer's JSON Web Tokens.

@router.post("/enable", dependencies=[Depends(Requirement("operate"))])
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import anyio
from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request

from golive import sessions, tokens
from golive.api.limits import Limits
from golive.api.oidc import Issuer, IssuerUnavailable
from golive.api.problems import Problem, unavailable
from golive.governance import ACTOR_MAX
from golive.settings import ServiceSettings

CACHED_S: Final = 1.0
"""How long a credential is taken without asking again: a revoked one is refused after it."""
READABLE_S: Final = 3600.0
"""How long a credential may go on reading, and nothing else, while the store cannot be asked about it."""
_REMEMBERED: Final = 4096
_THREADS: Final = 8
_CREDENTIAL_MAX: Final = 16 << 10


class Principal(NamedTuple):
    """Who asks.

    Attributes:
        name: `token:<name>`, `oidc:<subject>` or `anonymous`; the `changed_by` of what they change.
        scopes: What they may do.
        reduced: Whether they may have more scopes, which cannot be known now.
    """

    name: str
    scopes: frozenset[str]
    reduced: bool = False


ANONYMOUS: Final = Principal("anonymous", frozenset())


class Authenticator:
    """Tells who a credential belongs to.

    Args:
        engine: The database of the tokens.
        settings: Which issuer's tokens are taken as well.
        limits: Bound how often an address may be wrong.

    Raises:
        ConfigurationError: The issuer cannot be one.
    """

    def __init__(self, engine: Engine, settings: ServiceSettings, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._issuer = (
            Issuer(settings.oidc_issuer, settings.oidc_audience)
            if settings.oidc_issuer and settings.oidc_audience
            else None
        )
        # Apart, so that an issuer that hangs does not keep golive's own tokens waiting.
        self._store_threads = anyio.CapacityLimiter(_THREADS)
        self._issuer_threads = anyio.CapacityLimiter(_THREADS)
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._asking: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._lock = threading.Lock()

    async def principal(self, credential: str, address: str) -> Principal:
        """Return who shows this credential, from this address.

        Raises:
            Problem: 401 if nobody has it, 429 after too many such, 503 if it cannot be known now.
        """
        return await self._known_or_asked(
            hashlib.sha256(credential.encode()).digest(),
            lambda: self._ask(credential),
            address,
            "The token is unknown, revoked or expired.",
        )

    async def session(self, secret: str, address: str) -> Principal:
        """Return whose session of the page this is; the same bounds as for a credential.

        Raises:
            Problem: 401 if it is over, 429 after too many such, 503 if it cannot be known now.
        """

        async def ask() -> Principal | None:
            return await anyio.to_thread.run_sync(self._by_session, secret, limiter=self._store_threads)

        key = hashlib.sha256(b"session " + secret.encode()).digest()
        return await self._known_or_asked(key, ask, address, "The session is over.")

    def forget_session(self, secret: str) -> None:
        """Ask again about a session, for it was ended here."""
        self._forget(hashlib.sha256(b"session " + secret.encode()).digest())

    async def _known_or_asked(
        self,
        key: bytes,
        ask: Callable[[], Coroutine[Any, Any, Principal | None]],
        address: str,
        otherwise: str,
    ) -> Principal:
        age_s, known = self._recall(key)
        if known is not None and age_s < CACHED_S:
            return known
        if known is None:
            self._limits.admit_credential(address)
        try:
            found = await self._ask_once(key, ask)
        except (SQLAlchemyError, IssuerUnavailable):
            reading = known.scopes & {"read"} if known is not None else None
            if known is None or not reading:
                raise
            return known._replace(scopes=reading, reduced=True)
        if found is None:
            self._forget(key)
            self._limits.note_failure(address)
            raise unauthorized(otherwise, "invalid_token")
        self._remember(key, found)
        return found

    async def _ask_once(
        self, key: bytes, ask: Callable[[], Coroutine[Any, Any, Principal | None]]
    ) -> Principal | None:
        # Together with whoever shows the same one now: a slow store is not asked by each request.
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(ask())
            asking.add_done_callback(lambda _: self._asking.pop(key))
        return await asyncio.shield(asking)

    async def _ask(self, credential: str) -> Principal | None:
        if len(credential) > _CREDENTIAL_MAX:
            return None
        if credential.startswith(tokens.PREFIX):
            return await anyio.to_thread.run_sync(self._by_hash, credential, limiter=self._store_threads)
        if self._issuer is not None:
            return await anyio.to_thread.run_sync(self._by_issuer, credential, limiter=self._issuer_threads)
        return None

    def _by_hash(self, credential: str) -> Principal | None:
        with self._engine.connect() as connection:
            token = tokens.find(connection, credential)
        return None if token is None else Principal(f"token:{token.name}", token.scopes)

    def _by_session(self, secret: str) -> Principal | None:
        with self._engine.connect() as connection:
            found = sessions.find(connection, secret)
        return None if found is None else Principal(found.principal, found.scopes)

    def _by_issuer(self, credential: str) -> Principal | None:
        claims = self._issuer.claims(credential) if self._issuer is not None else None
        if claims is None:
            return None
        name = f"oidc:{claims['sub']}"
        if len(name) > ACTOR_MAX or not name.isprintable():
            return None
        return Principal(name, frozenset(_scopes(claims)) & set(tokens.SCOPES))

    def _recall(self, key: bytes) -> tuple[float, Principal | None]:
        with self._lock:
            seen_at, principal = self._known.get(key, (0.0, None))
        age_s = time.monotonic() - seen_at
        return age_s, principal if age_s < READABLE_S else None

    def _remember(self, key: bytes, principal: Principal) -> None:
        with self._lock:
            self._known.pop(key, None)
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = (time.monotonic(), principal)

    def _forget(self, key: bytes) -> None:
        with self._lock:
            self._known.pop(key, None)


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A token of `golive token create`, or a JSON Web Token of the configured issuer.",
)


@dataclass(frozen=True)
class Requirement:
    """A route's dependency: the scope it needs, unless `GOLIVE_ANONYMOUS` names `anonymous`.

    The route class satisfies it before the body is read; as a dependency it hands out who asks.
    """

    scope: str
    anonymous: str | None = None

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Principal:
        principal: Principal = request.state.golive_principal
        return principal

    async def satisfy(self, request: Request, control: Any) -> None:
        """Note who asks; raises a `Problem` with 401, 403, 429 or 503 if they may not."""
        address = request.client.host if request.client else "-"
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        open_to_all = self.anonymous is not None and self.anonymous in control.settings.anonymous
        principal = ANONYMOUS
        if scheme.lower() == "bearer" and credential.strip():
            principal = await control.authenticator.principal(credential.strip(), address)
        elif not open_to_all:
            raise unauthorized("Send a token: Authorization: Bearer …")
        control.limits.admit(address if principal is ANONYMOUS else principal.name)
        if not open_to_all and self.scope not in principal.scopes:
            if principal.reduced:
                raise unavailable("Whether the token may do this cannot be known now.")
            raise Problem(
                403,
                "Too small a scope",
                f"This needs the scope {self.scope}.",
                _challenge(f'error="insufficient_scope", scope="{self.scope}"'),
            )
        request.state.golive_principal = principal


MAY_READ = Depends(Requirement("read", anonymous="read"))
"""The dependency of a route that shows something."""
Operator = Annotated[Principal, Depends(Requirement("operate"))]
"""A parameter of a route that changes something: who does."""


def unauthorized(detail: str, error: str | None = None) -> Problem:
    """Return a 401 (RFC 6750, section 3)."""
    return Problem(401, "Not authenticated", detail, _challenge(f'error="{error}"' if error else None))


def _challenge(parameters: str | None) -> dict[str, str]:
    return {"WWW-Authenticate": ", ".join(filter(None, ['Bearer realm="golive"', parameters]))}


def _scopes(claims: dict[str, Any]) -> list[str]:
    """Return the scopes of a JSON Web Token: `scope` (RFC 9068), or `scp`, as some issuers name it."""
    given = claims.get("scope", claims.get("scp", ""))
    if isinstance(given, str):
        return given.split()
    return [scope for scope in given if isinstance(scope, str)] if isinstance(given, list) else []
