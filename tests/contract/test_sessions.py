"""Sessions of the page: they end by themselves, with their token, and when somebody says so."""

import datetime as dt

from sqlalchemy import func, select

from golive import governance, sessions, tokens
from golive.models import PageSession
from golive.models.base import utc_now
from golive.sessions import Session

HOUR = dt.timedelta(hours=1)


def found(url: str, secret: str) -> Session | None:
    with governance.reading(url) as connection:
        return sessions.find(connection, secret)


def test_a_session_of_a_token_may_what_the_token_may_and_ends_with_it(store: str) -> None:
    tokens.create(store, name="ops", scopes=["read", "operate"], actor="test")
    secret = sessions.create(
        store, principal="token:ops", scopes={"read"}, token_name="ops", expires_at=utc_now() + HOUR
    )
    session = found(store, secret)
    assert session is not None
    assert (session.principal, set(session.scopes)) == ("token:ops", {"read", "operate"})
    tokens.revoke(store, "ops", actor="test", reason="left")
    assert found(store, secret) is None


def test_a_session_ends_with_a_token_that_expires_or_is_gone(store: str) -> None:
    tokens.create(store, name="ops", scopes=["read"], actor="test", expires_at=utc_now() + HOUR)
    late, gone = (
        sessions.create(
            store, principal=f"token:{of}", scopes={"read"}, token_name=of, expires_at=utc_now() + HOUR
        )
        for of in ("ops", "nobody")
    )
    assert found(store, gone) is None
    assert found(store, late) is not None
    with governance.engine_for(store).begin() as connection:
        connection.exec_driver_sql("UPDATE api_token SET expires_at = '2020-01-01 00:00:00'")
    assert found(store, late) is None


def test_an_issuers_session_has_its_own_scopes_and_its_own_end(store: str) -> None:
    def make(expires_at: dt.datetime) -> str:
        return sessions.create(
            store, principal="oidc:carol", scopes={"read"}, token_name=None, expires_at=expires_at
        )

    session = found(store, make(utc_now() + 100 * HOUR))
    assert session is not None
    assert session.scopes == {"read"}
    assert session.expires_at <= utc_now() + sessions.LIFETIME
    assert found(store, make(utc_now() - HOUR)) is None
    ended = make(utc_now() + HOUR)
    sessions.end(store, ended)
    sessions.end(store, ended)
    assert found(store, ended) is None
    assert found(store, "") is None


def test_sessions_that_are_over_are_not_kept(store: str) -> None:
    for hours in (-1, -1, 1):
        sessions.create(
            store, principal="oidc:c", scopes={"read"}, token_name=None, expires_at=utc_now() + hours * HOUR
        )
    with governance.reading(store) as connection:
        assert connection.scalar(select(func.count()).select_from(PageSession)) == 1
