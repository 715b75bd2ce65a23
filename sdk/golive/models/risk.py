"""The tables of the risk guard."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Final

from sqlalchemy import BigInteger, Double, Index, String, Text, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, Id, Json, Money, Now, UtcDateTime

GLOBAL: Final = "GLOBAL"
"""The engine whose policy and ledger are those of all engines together."""

Amount = Annotated[Decimal, mapped_column(Money, default=0, server_default=text("0"))]
Cap = Annotated[Decimal | None, mapped_column(Money)]
Count = Annotated[int, mapped_column(default=0, server_default=text("0"))]
Engine = Annotated[str, mapped_column(String(32))]


class RiskPolicy(Base):
    """The caps of one engine, or of all together (`GLOBAL`). None is no cap, 0 leaves no room at all."""

    __tablename__ = "risk_policy"
    __table_args__ = (UniqueConstraint("engine"),)

    id: Mapped[Id]
    engine: Mapped[Engine]
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    max_daily_loss: Mapped[Cap]
    max_daily_exposure: Mapped[Cap]
    max_open_risk: Mapped[Cap]
    max_actions_per_day: Mapped[int | None]
    throttle: Mapped[float] = mapped_column(Double, default=1.0, server_default=text("1"))
    """Share of the caps in force: 1 is full, 0 none."""
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    """IANA name of the zone whose days the ledgers have; that of `GLOBAL` holds for every engine."""
    changed_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    updated_at: Mapped[Now]


class RiskLedgerDay(Base):
    """What an engine has used of its caps on one day, and its open risk at the end of it.

    One row of an engine is current, the last one. Open risk is carried over when the next day begins.
    """

    __tablename__ = "risk_ledger_day"
    __table_args__ = (
        UniqueConstraint("day", "engine"),
        Index(
            "uq_risk_ledger_day_current",
            "engine",
            unique=True,
            sqlite_where=text("is_current"),
            postgresql_where=text("is_current"),
        ),
    )

    id: Mapped[Id]
    day: Mapped[dt.date]
    engine: Mapped[Engine]
    exposure_used: Mapped[Amount]
    open_risk_reserved: Mapped[Amount]
    realized_loss: Mapped[Amount]
    actions_count: Mapped[Count]
    denials: Mapped[Count]
    is_current: Mapped[bool] = mapped_column(default=False, server_default=false())
    updated_at: Mapped[Now]


class RiskEvent(Base):
    """One decision of the guard; rows are only ever added."""

    __tablename__ = "risk_event"
    __table_args__ = (Index(None, "engine", "day"),)

    id: Mapped[Id]
    engine: Mapped[Engine]
    day: Mapped[dt.date | None]
    """The ledger's day it was booked on; unknown for rows from before golive."""
    action: Mapped[str] = mapped_column(String(16))
    """`RESERVE`, `DENY`, `SETTLE`, `RELEASE`, `REFUND` or `EXPIRE`."""
    amount: Mapped[Amount]
    realized_loss: Mapped[Decimal | None] = mapped_column(Money)
    ok: Mapped[bool] = mapped_column(default=True, server_default=true())
    reason: Mapped[str | None] = mapped_column(Text)
    reservation_id: Mapped[int | None] = mapped_column(BigInteger)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    actor: Mapped[str | None] = mapped_column(String(128))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    metadata_json: Mapped[Any | None] = mapped_column(Json)
    created_at: Mapped[Now]


class RiskReservation(Base):
    """Risk set aside for one action, until it is settled, released or expires."""

    __tablename__ = "risk_reservation"
    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        # Finds what to settle by its amount; and what has expired.
        Index(None, "engine", "amount", "status"),
        Index(
            "ix_risk_reservation_due",
            "expires_at",
            sqlite_where=text("status = 'open'"),
            postgresql_where=text("status = 'open'"),
        ),
    )

    id: Mapped[Id]
    engine: Mapped[Engine]
    day: Mapped[dt.date]
    amount: Mapped[Decimal] = mapped_column(Money)
    status: Mapped[str] = mapped_column(String(16), default="open", server_default="open")
    """`open`, `settled`, `released` or `expired`."""
    idempotency_key: Mapped[str | None] = mapped_column(String(128))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Hash of the request, to tell a retry from another request under the same key."""
    realized_loss: Mapped[Decimal | None] = mapped_column(Money)
    reason: Mapped[str | None] = mapped_column(Text)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    actor: Mapped[str | None] = mapped_column(String(128))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[Now]
    expires_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
