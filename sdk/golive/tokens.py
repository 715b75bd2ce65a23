"""Bearer tokens of the HTTP service: made, listed, revoked, and found again by their hash.

secret = tokens.create(db, name="ci", scopes=["read"], actor="cli:ops")       # shown once, kept nowhere
tokens.revoke(db, "ci", actor="cli:ops", reason="the runner was sold")

A token is `golive_` and 256 random bits, so that a secret scanner knows one and nobody guesses one; that is
also why a plain SHA-256 keeps it, as it would not keep a password.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update

from golive import audit, governance
from golive.errors import InvalidArgument
from golive.models import ApiToken
from golive.models.base import utc_now

__all__ = ["PREFIX", "SCOPES", "Token", "create", "find", "list_tokens", "revoke"]

PREFIX: Final = "golive_"
SCOPES: Final = ("read", "ingest", "operate")
"""Look at everything; record events; throw switches and change policies. None includes another."""
NAME_MAX: Final = 64
_SECRET_BYTES: Final = 32
_COLUMNS: Final = ("name", "scopes", "created_by", "created_at", "expires_at", "revoked_at")


class Token(NamedTuple):
    """A token, without its secret."""

    name: str
    scopes: frozenset[str]
    created_by: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None

    @property
    def usable(self) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or utc_now() < self.expires_at)


def create(
    db: object, *, name: str, scopes: Iterable[str], actor: str, expires_at: dt.datetime | None = None
) -> str:
    """Make a token and return its secret, which nobody can read again.

    Args:
        db: What names the database.
        name: Who will use it; what it changes is changed by `token:<name>`.
        scopes: Of `SCOPES`, at least one.
        actor: Who makes it.
        expires_at: From when on it is refused; never by default.

    Raises:
        InvalidArgument: The name is taken or cannot be one, or a scope is unknown.
    """
    wanted = _check_scopes(scopes)
    _check_name(name)
    if expires_at is not None and expires_at <= utc_now():
        raise InvalidArgument("expires_at", "a time to come", expires_at.isoformat())
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    with governance.acting(db) as connection:
        if connection.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
            raise InvalidArgument("name", "one that no token has or had", name)
        values: dict[str, Any] = {"scopes": wanted, "expires_at": expires_at}
        connection.execute(
            insert(ApiToken).values(
                name=name,
                token_hash=hash_of(secret),
                created_by=governance.check_actor(actor),
                created_at=utc_now(),
                **values,
            )
        )
        audit.append(connection, actor=actor, action="token.create", target=name, after=values)
    return secret


def revoke(db: object, name: str, *, actor: str, reason: str) -> None:
    """Refuse a token from now on; services obey within a second.

    Raises:
        InvalidArgument: There is no such token, or it is revoked already.
    """
    reason = governance.check_reason(reason)
    with governance.acting(db) as connection:
        revoked = connection.execute(
            update(ApiToken)
            .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
            .values(revoked_at=utc_now())
        )
        if revoked.rowcount == 0:
            raise InvalidArgument("name", "a token that is not revoked", name)
        audit.append(
            connection,
            actor=governance.check_actor(actor),
            action="token.revoke",
            target=name,
            reason=reason,
        )


def list_tokens(connection: Connection) -> list[Token]:
    """Return every token there ever was, the oldest first."""
    return [_token(row) for row in connection.execute(_query().order_by(ApiToken.id))]


def find(connection: Connection, secret: str) -> Token | None:
    """Return the usable token with this secret; None if there is none.

    By its hash, in an index: what the time it takes could tell is the beginning of a hash, which leads
    nobody to a secret.
    """
    row = connection.execute(_query().where(ApiToken.token_hash == hash_of(secret))).one_or_none()
    token = None if row is None else _token(row)
    return token if token is not None and token.usable else None


def _query() -> Any:
    return select(*(getattr(ApiToken, name) for name in _COLUMNS))


def _token(row: Row[Any]) -> Token:
    values = dict(row._mapping)
    return Token(**values | {"scopes": frozenset(values["scopes"])})


def hash_of(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidArgument("name", f"1 to {NAME_MAX} printable characters", ascii(name)[:80])


def _check_scopes(scopes: Iterable[str]) -> list[str]:
    wanted = set(scopes)
    if not wanted or not wanted <= set(SCOPES):
        raise InvalidArgument("scope", f"one or more of {', '.join(SCOPES)}", ", ".join(sorted(wanted)))
    return [scope for scope in SCOPES if scope in wanted]
