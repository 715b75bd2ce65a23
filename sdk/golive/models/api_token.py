"""The table of the HTTP service's bearer tokens."""

import datetime as dt

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, Id, Json, Now, UtcDateTime


class ApiToken(Base):
    """A bearer token: only its hash is kept, so that whoever reads the table has no token."""

    __tablename__ = "api_token"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(64), unique=True)
    """Who uses it: the `changed_by` of what it changes."""
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token, in hexadecimal; the token itself is 256 random bits."""
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[Now]
    expires_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
