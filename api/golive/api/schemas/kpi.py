"""What goes over the wire about KPI events."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StrictFloat, Tag

from golive.api.schemas.base import Answer, Correlation, Domain, Json, Metric, Moment, Request
from golive.events import ACTOR_MAX


class KpiEventIn(Request):
    """One business outcome, with the names and rules of `golive.kpi.emit_kpi`."""

    domain: Domain
    metric: Metric
    success: StrictBool | None = None
    value: Annotated[StrictFloat | None, Field(allow_inf_nan=False)] = None
    actor: Annotated[str | None, Field(max_length=ACTOR_MAX)] = None
    correlation_id: Correlation = None
    detail: Json = None
    occurred_at: Annotated[Moment | None, Field(description="When it happened; now by default.")] = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "WHOLESALE",
                    "metric": "offer_sent",
                    "success": True,
                    "actor": "broker",
                    "correlation_id": "deal_123",
                }
            ]
        },
    )


class KpiBatch(Request):
    """Several outcomes; all are recorded, or none."""

    events: Annotated[list[KpiEventIn], Field(min_length=1)]


def _event_or_batch(body: Any) -> str:
    batch = isinstance(body, KpiBatch) or (isinstance(body, dict) and "events" in body)
    return "KpiBatch" if batch else "KpiEventIn"


KpiBody = Annotated[
    Annotated[KpiEventIn, Tag("KpiEventIn")] | Annotated[KpiBatch, Tag("KpiBatch")],
    Discriminator(_event_or_batch),
]
"""Told apart before they are checked, so that an error is about what was meant."""


class KpiRecorded(Answer):
    """The ids of what was recorded, in their order; as text, for JavaScript's numbers cannot hold them."""

    event_ids: list[str]


class EventView(Answer):
    """One event."""

    id: str
    created_at: dt.datetime
    domain: str
    metric: str
    outcome: Literal["success", "failure", "value", "cancelled"]
    value: float | None
    actor: str | None
    correlation_id: str | None
    duration_ms: float | None
    trace_id: str | None
    span_id: str | None
    detail: Json


class EventPage(Answer):
    """Events, the newest first, and where the next page begins."""

    events: list[EventView]
    next_cursor: str | None


class MetricSummaryView(Answer):
    """What happened to one metric in a range of time."""

    domain: str
    metric: str
    events: int
    successes: int
    failures: int
    values: int
    cancelled: int
    success_rate: float | None
    value_sum: float | None
    value_mean: float | None
    first_at: dt.datetime
    last_at: dt.datetime


class Summary(Answer):
    """What happened in a range of time, per metric."""

    metrics: list[MetricSummaryView]


class TimelineEntryView(EventView):
    """One event of a timeline; offsets in seconds."""

    offset_s: float
    gap_s: float


class Timeline(Answer):
    """Everything that happened under a correlation id, in order."""

    correlation_id: str
    events: list[TimelineEntryView]
