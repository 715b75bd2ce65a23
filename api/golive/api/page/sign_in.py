"""Signing in with a token, and out."""

import datetime as dt
import functools
from typing import Any, Final

import anyio
import jwt
from starlette.responses import Response

from golive import sessions, tokens
from golive.api.auth import Principal
from golive.api.page.doors import Form, Visit, cookie_name, read_form, refuse_other_sites
from golive.api.problems import Problem
from golive.models.base import utc_now

_OF_TOKENS: Final = "token:"


async def show(visit: Visit) -> Response:
    """Show the form."""
    return visit.page("sign_in.html", next=_local(visit.request.query_params.get("next", "")), problem=None)


async def sign_in(visit: Visit) -> Response:
    """Take a credential, and set the cookie of a session; the credential itself is kept nowhere."""
    refuse_other_sites(visit.request)
    form = await read_form(visit)
    credential = form.get("token", "").strip()
    following = _local(form.get("next", ""))
    try:
        principal = await _principal(visit, credential)
    except Problem as problem:
        if problem.details.status not in (401, 403):
            raise
        return visit.page("sign_in.html", problem.details.status, next=following, problem=problem.details)
    expires_at = _expires_at(credential)
    name = principal.name.removeprefix(_OF_TOKENS) if credential.startswith(tokens.PREFIX) else None
    create = functools.partial(
        sessions.create,
        principal=principal.name,
        scopes=principal.scopes,
        token_name=name,
        expires_at=expires_at,
    )
    secret = await anyio.to_thread.run_sync(create, visit.control.engine)
    await _end(visit)
    response = visit.go_to(following)
    response.set_cookie(
        cookie_name(visit.request),
        secret,
        max_age=max(int((expires_at - utc_now()).total_seconds()), 0),
        path="/",
        secure=visit.request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # a link to the page from elsewhere finds the visitor signed in; forms carry more
    )
    return response


async def sign_out(visit: Visit, _: Form) -> Response:
    """End the session."""
    await _end(visit)
    response = visit.go_to("/sign-in")
    secure = visit.request.url.scheme == "https"
    response.delete_cookie(cookie_name(visit.request), secure=secure, httponly=True)
    return response


async def _end(visit: Visit) -> None:
    """End the session that was there."""
    if visit.session is not None:
        await anyio.to_thread.run_sync(sessions.end, visit.control.engine, visit.session)
        visit.control.authenticator.forget_session(visit.session)


async def _principal(visit: Visit, credential: str) -> Principal:
    if not credential:
        raise Problem(401, "Not authenticated", "Paste a token.")
    address = visit.request.client.host if visit.request.client else "-"
    principal = await visit.control.authenticator.principal(credential, address)
    if not principal.scopes & {"read", "operate"}:
        raise Problem(403, "Too small a scope", "This token may record events, and look at nothing.")
    return principal


def _expires_at(credential: str) -> dt.datetime:
    """Return when the session of a credential that was just verified is over, at the latest."""
    latest = utc_now() + sessions.LIFETIME
    if credential.startswith(tokens.PREFIX):
        return latest
    claims: dict[str, Any] = jwt.decode(credential, options={"verify_signature": False})
    # Bounded before it is a time, for an issuer's `exp` may be one no calendar has.
    return dt.datetime.fromtimestamp(min(claims["exp"], latest.timestamp()), dt.UTC)


def _local(path: str) -> str:
    """Return where to go on, a path of this page; an address of elsewhere becomes the overview."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and not path.startswith(("/sign-", "/static")) else "/"
