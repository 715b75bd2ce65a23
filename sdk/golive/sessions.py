"""Sessions of the control-plane page: made for a credential, found again by their hash, ended.

secret = sessions.create(db, principal="token:ops", scopes={"read", "operate"}, token_name="ops",
                         expires_at=utc_now() + sessions.LIFETIME)          # goes into a cookie, kept nowhere
sessions.end(db, secret)

The cookie is not the credential: it opens the page alone, for half a day, and ends with its token.
"""

import datetime as dt
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from golive import governance
from golive.models import ApiToken, PageSession
from golive.models.base import utc_now
from golive.tokens import hash_of

__all__ = ["LIFETIME", "Session", "create", "end", "find"]

LIFETIME: Final = dt.timedelta(hours=12)
"""How long a session lasts at most, whatever is done with it."""
_SECRET_BYTES: Final = 32

_row = PageSession
_token = ApiToken


class Session(NamedTuple):
    """Who is signed in, what they may do now, and until when."""

    principal: str
    scopes: frozenset[str]
    expires_at: dt.datetime


def create(
    db: object,
    *,
    principal: str,
    scopes: Iterable[str],
    token_name: str | None,
    expires_at: dt.datetime,
) -> str:
    """Make a session and return its secret, which nobody can read again; those that are over are removed.

    Args:
        db: What names the database.
        principal: Who, as the credential says.
        scopes: What the credential lets them do.
        token_name: Of the token that was shown; the session ends with it. None for an issuer's.
        expires_at: When it is over; after `LIFETIME` at the latest.
    """
    now = utc_now()
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with governance.engine_for(db, lane="switch").begin() as connection:
        connection.execute(delete(_row).where(_row.expires_at <= now))
        connection.execute(
            insert(_row).values(
                session_hash=hash_of(secret),
                principal=principal,
                token_name=token_name,
                scopes=sorted(scopes),
                created_at=now,
                expires_at=min(expires_at, now + LIFETIME),
            )
        )
    return secret


def find(connection: Connection, secret: str) -> Session | None:
    """Return the session with this secret; None if there is none, it is over, or its token is refused."""
    columns = (_row.principal, _row.token_name, _row.scopes, _row.expires_at)
    of_token = (_token.name, _token.scopes, _token.expires_at, _token.revoked_at)
    query = (
        select(*columns, *(column.label(f"token_{column.key}_") for column in of_token))
        .join(_token, _token.name == _row.token_name, isouter=True)
        .where(_row.session_hash == hash_of(secret))
    )
    found = connection.execute(query).one_or_none()
    now = utc_now()
    if found is None or found.expires_at <= now:
        return None
    if found.token_name is None:
        return Session(found.principal, frozenset(found.scopes), found.expires_at)
    expiry = found.token_expires_at_
    if found.token_name_ is None or found.token_revoked_at_ is not None or (expiry and expiry <= now):
        return None
    return Session(found.principal, frozenset(found.token_scopes_), found.expires_at)


def end(db: object, secret: str) -> None:
    """End a session; nothing happens if there is none."""
    with governance.engine_for(db, lane="switch").begin() as connection:
        connection.execute(delete(_row).where(_row.session_hash == hash_of(secret)))
