"""The tables of the regression tripwire."""

import datetime as dt
from typing import Annotated, Any

from sqlalchemy import BigInteger, Double, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, Id, Json, Now, UtcDateTime

Domain = Annotated[str, mapped_column(String(32))]
Metric = Annotated[str, mapped_column(String(64))]


class RegressionPolicy(Base):
    """When a (domain, metric) trips its wire, and what then happens."""

    __tablename__ = "regression_policy"
    __table_args__ = (UniqueConstraint("domain", "metric"),)

    id: Mapped[Id]
    domain: Mapped[Domain]
    metric: Mapped[Metric]
    window_events: Mapped[int] = mapped_column(default=50, server_default=text("50"))
    baseline_events: Mapped[int] = mapped_column(default=200, server_default=text("200"))
    min_events_to_enforce: Mapped[int] = mapped_column(default=50, server_default=text("50"))
    max_drop_fraction: Mapped[float] = mapped_column(Double, default=0.2, server_default=text("0.2"))
    # A writer that does not know of modes means the one rule there was before them.
    mode: Mapped[str] = mapped_column(String(16), default="confirmed", server_default="threshold")
    """`threshold` or `confirmed`."""
    false_trips: Mapped[float] = mapped_column(Double, default=0.01, server_default=text("0.01"))
    """Share of quiet streams of 10,000 events that may trip in `confirmed` mode."""
    action: Mapped[str] = mapped_column(String(32), default="THROTTLE", server_default="THROTTLE")
    """`THROTTLE`, `KILL_SWITCH` or `NOTIFY`."""
    throttle_ladder: Mapped[list[float]] = mapped_column(
        Json, default=lambda: [0.0], server_default=text("'[0]'")
    )
    """The throttles each further trip lowers the engine to, in order."""
    blind_after_s: Mapped[float | None] = mapped_column(Double)
    """Seconds without an event after which the wire is blind; null: from the events' own rhythm."""
    trip_when_blind: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A wire that is blind trips as well."""
    pinned_baseline: Mapped[Any | None] = mapped_column(Json)
    shadow: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Trips are counted, and nothing is done."""
    enabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    changed_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    updated_at: Mapped[Now]


class RegressionState(Base):
    """What the last evaluation found, and whether the wire is tripped."""

    __tablename__ = "regression_state"
    __table_args__ = (UniqueConstraint("domain", "metric"),)

    id: Mapped[Id]
    domain: Mapped[Domain]
    metric: Mapped[Metric]
    triggered: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The latch: set by a trip, released by a person."""
    verdict: Mapped[str | None] = mapped_column(String(32))
    baseline: Mapped[float | None] = mapped_column(Double)
    current: Mapped[float | None] = mapped_column(Double)
    drop_fraction: Mapped[float | None] = mapped_column(Double)
    evidence: Mapped[Any | None] = mapped_column(Json)
    frozen_baseline: Mapped[Any | None] = mapped_column(Json)
    """The baseline the trip was measured against."""
    trips: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Trips since the wire was last well for as long as its probation is: the step reached on the ladder."""
    shadow_trips: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    throttled_from: Mapped[Any | None] = mapped_column(Json)
    """What the engine had before this wire throttled it, and the version of its risk policy since."""
    last_event_id: Mapped[int | None] = mapped_column(BigInteger)
    """The newest event the last evaluation judged."""
    last_checked_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    last_triggered_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    rearmed_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    rearmed_by: Mapped[str | None] = mapped_column(String(128))
    note: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
