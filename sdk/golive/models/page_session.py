"""The table of who is signed in to the control-plane page."""

import datetime as dt
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, Id, Json, Now, UtcDateTime


class PageSession(Base):
    """A browser that was shown a credential; only the hash of its cookie is kept."""

    __tablename__ = "page_session"

    id: Mapped[Id]
    session_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the cookie, in hexadecimal; the cookie itself is 256 random bits."""
    principal: Mapped[str] = mapped_column(String(128))
    """Who: the `changed_by` of what they change."""
    token_name: Mapped[str | None] = mapped_column(String(64))
    """Of the token that was shown, with which the session ends; null for an issuer's."""
    scopes: Mapped[Any] = mapped_column(Json)
    created_at: Mapped[Now]
    expires_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
