"""The table of KPI events."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, BigId, Json, UtcDateTime


class KpiEventRow(Base):
    """One business outcome. Rows from before golive have no emitter, trace or duration."""

    __tablename__ = "kpi_event"
    __table_args__ = (
        # The windows of a tripwire and the pages of the read side are one range of this index; the id
        # breaks ties between events of one microsecond.
        Index(None, "domain", "metric", "created_at", "id"),
        Index(None, "correlation_id"),
        # A range of time of all streams is nearly a range of pages; this says which. SQLite has none.
        Index(None, "created_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}).ddl_if(
            dialect="postgresql"
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """Assigned by the emitter (E5)."""
    emitter: Mapped[int | None] = mapped_column(BigInteger)
    """Random number of the emitting process; with the id, the identity of the event."""
    domain: Mapped[str] = mapped_column(String(32))
    metric: Mapped[str] = mapped_column(String(64))
    success: Mapped[bool | None]
    value: Mapped[float | None] = mapped_column(Double)
    actor: Mapped[str | None] = mapped_column(String(64))
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    detail: Mapped[Any | None] = mapped_column(Json)
    trace_id: Mapped[str | None] = mapped_column(String(32))
    span_id: Mapped[str | None] = mapped_column(String(16))
    duration_ms: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    """When it happened, not when it was written."""
