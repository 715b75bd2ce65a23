"""The table of governance acts."""

from typing import Any

from sqlalchemy import String, Text, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, BigId, Json, Now


class GovernanceAudit(Base):
    """One governance act, or a refused attempt at one; each row carries the hash of the row before it."""

    __tablename__ = "governance_audit"
    # Two writers that saw the same last row cannot both go on from it.
    __table_args__ = (UniqueConstraint("prev_hash"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """Place in the chain, from 1 without gaps; given by the writer."""
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str | None] = mapped_column(String(128))
    ok: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False for a refused attempt."""
    before: Mapped[Any | None] = mapped_column(Json)
    after: Mapped[Any | None] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(Text)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[Now]
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
