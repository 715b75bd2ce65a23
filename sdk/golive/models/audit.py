"""The tables of governance acts."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, String, Text, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, BigId, Json, Now, UtcDateTime


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


class GovernanceAuditHead(Base):
    """The end of the chain, and what its last full verification found: one row, whose id is 1.

    Without it nobody could tell that the last rows of the chain are gone. It is locked by whoever appends,
    so that writers come one after the other.
    """

    __tablename__ = "governance_audit_head"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False, default=1)
    last_id: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Id of the last row; 0 for an empty chain."""
    last_hash: Mapped[str] = mapped_column(String(64))
    verified_id: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Up to which row the last verification found the chain intact."""
    verified_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    broken_id: Mapped[int | None] = mapped_column(BigInteger)
    """The first row that does not fit the chain."""
    problem: Mapped[str | None] = mapped_column(Text)
    """What is wrong with it."""
