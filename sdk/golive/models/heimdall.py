"""The tables of the confidence charter."""

import datetime as dt
from typing import Annotated, Any

from sqlalchemy import BigInteger, Double, String, Text, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, Id, Json, Now

Domain = Annotated[str, mapped_column(String(32))]


class HeimdallPolicy(Base):
    """What a domain's recommendations must show before production may use them."""

    __tablename__ = "heimdall_policy"
    __table_args__ = (UniqueConstraint("domain"),)

    id: Mapped[Id]
    domain: Mapped[Domain]
    min_confidence_prod: Mapped[float] = mapped_column(Double, default=0.9, server_default=text("0.9"))
    min_sandbox_trials: Mapped[int] = mapped_column(default=50, server_default=text("50"))
    min_sandbox_success_rate: Mapped[float] = mapped_column(Double, default=0.8, server_default=text("0.8"))
    scorecard_days: Mapped[int] = mapped_column(default=30, server_default=text("30"))
    """How many days of trials count, today's among them."""
    prod_use_enabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    changed_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    updated_at: Mapped[Now]


class HeimdallScorecardDay(Base):
    """The sandbox trials of a domain on one day."""

    __tablename__ = "heimdall_scorecard_day"
    __table_args__ = (UniqueConstraint("day", "domain"),)

    id: Mapped[Id]
    day: Mapped[dt.date]
    domain: Mapped[Domain]
    trials: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    successes: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    avg_confidence: Mapped[float] = mapped_column(Double, default=0.0, server_default=text("0"))
    """Mean confidence of the day's trials."""
    updated_at: Mapped[Now]


class HeimdallRecommendation(Base):
    """One recommendation, with the gate's decision at its creation."""

    __tablename__ = "heimdall_recommendation"

    id: Mapped[Id]
    domain: Mapped[Domain]
    confidence: Mapped[float] = mapped_column(Double)
    recommendation_json: Mapped[Any] = mapped_column(Json)
    evidence_json: Mapped[Any | None] = mapped_column(Json)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    actor: Mapped[str | None] = mapped_column(String(128))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    prod_eligible: Mapped[bool] = mapped_column(default=False, server_default=false())
    gate_reason: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Now]


class HeimdallEvent(Base):
    """A trial, a promotion or a refusal; rows are only ever added."""

    __tablename__ = "heimdall_event"

    id: Mapped[Id]
    domain: Mapped[Domain]
    event: Mapped[str] = mapped_column(String(64))
    ok: Mapped[bool] = mapped_column(default=True, server_default=true())
    confidence: Mapped[float | None] = mapped_column(Double)
    recommendation_id: Mapped[int | None] = mapped_column(BigInteger)
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    actor: Mapped[str | None] = mapped_column(String(128))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[Any | None] = mapped_column(Json)
    created_at: Mapped[Now]
