"""What goes over the wire: the shapes of requests and answers, apart from tables and domain values."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    Tag,
)

from golive.checks import Severity
from golive.governance import REASON_MAX
from golive.runbook import Verdict


def _only_text(value: object) -> object:
    if isinstance(value, str) and "T" in value.upper():
        return value
    raise ValueError("expected a time with its offset, as 2026-11-23T09:00:00Z")


def _in_utc(value: dt.datetime) -> dt.datetime:
    try:
        return value.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError("expected a time of the years 1 to 9999 in UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text), AfterValidator(_in_utc)]
"""A time as RFC 3339 has it: pydantic would take numbers for one as well."""

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class Answer(BaseModel):
    """Base of answers; made from named tuples and mappings alike."""

    model_config = ConfigDict(from_attributes=True)


class Request(BaseModel):
    """Base of requests: a field nobody knows is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


class CheckReport(Answer):
    """What a check of the runbook found, and what to do about it."""

    id: str
    ok: bool
    severity: Severity
    message: str
    detail: Json
    action: str


class RunbookStatus(Answer):
    """What every check found at one moment."""

    generated_at: dt.datetime
    ok_to_enable_go_live: bool
    verdict: Verdict
    blockers: list[CheckReport]
    warnings: list[CheckReport]
    info: list[CheckReport]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "generated_at": "2026-11-23T09:00:00Z",
                    "ok_to_enable_go_live": False,
                    "verdict": "fail",
                    "blockers": [
                        {
                            "id": "env_sanity",
                            "ok": False,
                            "severity": "BLOCKER",
                            "message": "Not set: GO_LIVE_ENFORCE=1.",
                            "detail": {"not_set": ["GO_LIVE_ENFORCE=1"]},
                            "action": "Set ENV=production, DATABASE_URL and GO_LIVE_ENFORCE=1.",
                        }
                    ],
                    "warnings": [],
                    "info": [],
                }
            ]
        }
    )


class GateVerdict(Answer):
    """The runbook in one word: `pass` and `warn` mean go, `fail` and `inconclusive` mean no-go."""

    verdict: Verdict
    ok: bool
    generated_at: dt.datetime
    age_s: float
    blockers: list[str]
    warnings: list[str]


class ArgoVerdict(Answer):
    """The gate for Argo Rollouts, whose `web` metric takes any answer but a 2xx for an error."""

    data: GateVerdict


class GoLiveStateView(Answer):
    """Whether production may act, who said so last, and why. `version` goes into `If-Match`."""

    go_live_enabled: bool
    kill_switch_engaged: bool
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "go_live_enabled": True,
                    "kill_switch_engaged": False,
                    "changed_by": "ops",
                    "reason": "week 1 of the experiment",
                    "version": 4,
                    "updated_at": "2026-11-23T09:00:00Z",
                }
            ]
        },
    )


class ChecklistView(Answer):
    """What has to be there before production may be enabled."""

    ok: bool
    backend_complete: bool
    required_packs: list[str]
    missing_packs: list[str]


Reason = Annotated[str, Field(min_length=1, max_length=REASON_MAX, description="Why; for the audit trail.")]


class KillSwitchEngagement(Request):
    """Stop production. No version: the switch is for when nobody has time to look one up."""

    reason: Reason

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "offers go out twice"}]}
    )


class StateChange(Request):
    """A change of the go-live state, made on the version that was read."""

    reason: Reason
    version: Annotated[
        StrictInt | None,
        Field(ge=0, le=2**31 - 1, description="The version that was read, if not in `If-Match`."),
    ] = None

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "week 1 of the experiment", "version": 3}]}
    )


class KpiEventIn(Request):
    """One business outcome, with the names and rules of `golive.kpi.emit_kpi`."""

    domain: Annotated[str, Field(min_length=1, max_length=32)]
    metric: Annotated[str, Field(min_length=1, max_length=64)]
    success: StrictBool | None = None
    value: Annotated[StrictFloat | None, Field(allow_inf_nan=False)] = None
    actor: Annotated[str | None, Field(max_length=64)] = None
    correlation_id: Annotated[str | None, Field(max_length=128)] = None
    detail: Json = None
    occurred_at: Annotated[Moment | None, Field(description="When it happened; now by default.")] = None

    model_config = ConfigDict(
        extra="forbid",
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


class Health(Answer):
    """Whether this process works."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
