"""What goes over the wire about the tripwires."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

from golive.api.schemas.base import (
    Answer,
    Domain,
    Json,
    Metric,
    Moment,
    Reason,
    Request,
    ShownId,
    Version,
)
from golive.regression.policy import LADDER_MAX
from golive.tripwire.calibration import LARGEST_BASELINE, SMALLEST_WINDOW
from golive.tripwire.rule import BLIND_AFTER_MAX_S, DROP_MAX, EVENTS_MAX

Events = Annotated[StrictInt | None, Field(ge=1, le=EVENTS_MAX)]
Action = Literal["THROTTLE", "KILL_SWITCH", "NOTIFY"]

CANDIDATES_MAX = 4
_IDS = ("id", "first_id", "last_id")


def _ids_as_text(evidence: Any) -> Any:
    if isinstance(evidence, dict):
        return {
            name: str(value) if name in _IDS and isinstance(value, int) else _ids_as_text(value)
            for name, value in evidence.items()
        }
    return [_ids_as_text(each) for each in evidence] if isinstance(evidence, list) else evidence


Evidence = Annotated[
    Json, BeforeValidator(_ids_as_text), Field(description="The whole finding, ids of events as text.")
]


class RuleBody(Request):
    """A rule; what is `null` stays as it is, or has its default."""

    mode: Literal["threshold", "confirmed"] | None = None
    window_events: Events = None
    baseline_events: Events = None
    min_events_to_enforce: Annotated[StrictInt | None, Field(ge=0, le=EVENTS_MAX)] = None
    max_drop_fraction: Annotated[StrictFloat | None, Field(gt=0, le=DROP_MAX)] = None
    false_trips: Annotated[
        StrictFloat | None,
        Field(gt=0, lt=1, description="Share of quiet streams that may trip: 0.001, 0.01 or 0.05."),
    ] = None


class PinnedBody(Request):
    """A baseline that stays."""

    kind: Literal["rate", "value"]
    level: Annotated[StrictFloat, Field(allow_inf_nan=False, description="The success rate, or the mean.")]
    n: Annotated[
        StrictInt | None, Field(ge=1, le=2**53, description="From how many events; `null`: known exactly.")
    ] = None
    sample: Annotated[
        list[Annotated[StrictFloat, Field(allow_inf_nan=False)]] | None,
        Field(
            min_length=SMALLEST_WINDOW,
            max_length=LARGEST_BASELINE,
            description="Values, which `confirmed` mode ranks the window among.",
        ),
    ] = None


class RegressionPolicyBody(RuleBody):
    """What to change of a tripwire's policy; what is not named stays as it is."""

    domain: Annotated[Domain, Field(description="THROTTLE lowers the engine of this name.")]
    metric: Metric
    enabled: StrictBool | None = None
    shadow: Annotated[StrictBool | None, Field(description="Trips are only counted.")] = None
    action: Action | None = None
    throttle_ladder: Annotated[
        list[Annotated[StrictFloat, Field(ge=0, lt=1)]] | None,
        Field(min_length=1, max_length=LADDER_MAX, description="Falling; one step for each trip."),
    ] = None
    blind_after_s: Annotated[
        StrictFloat | None,
        Field(ge=0, le=BLIND_AFTER_MAX_S, description="0: from the rhythm of the events themselves."),
    ] = None
    trip_when_blind: StrictBool | None = None
    pinned_baseline: PinnedBody | None = None
    unpin: Annotated[StrictBool, Field(description="Take the pinned baseline away.")] = False
    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "WHOLESALE",
                    "metric": "contract_rate",
                    "enabled": True,
                    "reason": "week 2 of the experiment",
                    "version": 1,
                }
            ]
        },
    )


class PinBody(Request):
    """From which time's events the baseline is pinned."""

    domain: Domain
    metric: Metric
    since: Annotated[Moment | None, Field(description="After when; the beginning by default.")] = None
    until: Annotated[Moment | None, Field(description="Before when; now by default.")] = None
    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "WHOLESALE",
                    "metric": "contract_rate",
                    "until": "2026-11-01T00:00:00Z",
                    "reason": "October was well",
                    "version": 1,
                }
            ]
        },
    )


class RegressionPolicyShown(Answer):
    """The policy of a tripwire."""

    domain: str
    metric: str
    enabled: bool
    shadow: bool
    mode: str
    window_events: int
    baseline_events: int
    min_events_to_enforce: int
    max_drop_fraction: float
    false_trips: float
    action: str
    throttle_ladder: list[float]
    blind_after_s: float | None
    trip_when_blind: bool
    pinned_baseline: Json
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None


class RegressionPolicies(Answer):
    """Every policy, by its domain and metric."""

    policies: list[RegressionPolicyShown]


class RegressionStateShown(Answer):
    """Where a tripwire stands."""

    domain: str
    metric: str
    enabled: bool
    triggered: Annotated[bool, Field(description="The latch: only a re-arm releases it.")]
    verdict: str | None
    baseline: float | None
    current: float | None
    drop_fraction: float | None
    detectable_drop: float | None
    evidence: Evidence
    frozen_baseline: Json
    trips: int
    shadow_trips: int
    throttled_from: Json
    last_event_id: ShownId | None
    last_checked_at: dt.datetime | None
    last_triggered_at: dt.datetime | None
    rearmed_at: dt.datetime | None
    rearmed_by: str | None
    note: str | None
    version: Annotated[int, Field(description="For a re-arm; 0 where nothing was evaluated yet.")]


class RegressionStates(Answer):
    """Where every tripwire stands."""

    states: list[RegressionStateShown]


class EvaluateBody(Request):
    """Which tripwire to evaluate; every enabled one by default."""

    domain: Domain | None = None
    metric: Metric | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"domain": "WHOLESALE", "metric": "contract_rate"}]},
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> "EvaluateBody":
        if (self.domain is None) != (self.metric is None):
            raise ValueError("expected domain and metric, or neither")
        return self


class EvaluationShown(Answer):
    """What an evaluation found and did."""

    domain: str
    metric: str
    verdict: str | None
    explanation: str | None
    baseline: float | None
    current: float | None
    drop_fraction: float | None
    detectable_drop: float | None
    triggered: Annotated[bool, Field(description="Whether the wire is tripped, since whenever.")]
    tripped: Annotated[bool, Field(description="Whether this evaluation tripped it.")]
    would_trip: Annotated[bool, Field(description="Whether it would have, but for shadow mode.")]
    acts: list[str]
    problem: Annotated[str | None, Field(description="Why the policy cannot be applied.")]
    finding: Evidence


class Evaluations(Answer):
    """What the evaluations found and did."""

    evaluations: list[EvaluationShown]


class RearmBody(Request):
    """Which tripped wire is to be released, and why."""

    domain: Domain
    metric: Metric
    reason: Reason
    restore_throttle: Annotated[
        StrictBool, Field(description="Give the engine back what it had before the trip.")
    ] = False
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "WHOLESALE",
                    "metric": "contract_rate",
                    "reason": "the price feed is mended",
                    "version": 2,
                }
            ]
        },
    )


class CandidateRule(RuleBody):
    """A candidate; what it does not name is as in a new policy."""

    name: Annotated[str | None, Field(min_length=1, max_length=64, description="What to call it.")] = None


class BacktestBody(Request):
    """Which stored events to replay, against which rules."""

    domain: Domain
    metric: Metric
    candidates: Annotated[
        list[CandidateRule] | None,
        Field(
            min_length=1,
            max_length=CANDIDATES_MAX,
            description="The stored policy, and each mode as it comes, by default.",
        ),
    ] = None
    since: Annotated[Moment | None, Field(description="After when.")] = None
    until: Annotated[Moment | None, Field(description="Before when.")] = None
    change: Annotated[
        Moment | None, Field(description="When something changed: trips before it are false ones.")
    ] = None
    every: Annotated[
        StrictInt | None,
        Field(ge=1, le=EVENTS_MAX, description="Judge after so many events; by default 1 for rates."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "WHOLESALE",
                    "metric": "contract_rate",
                    "candidates": [{"name": "bolder", "max_drop_fraction": 0.1}],
                    "change": "2026-11-01T00:00:00Z",
                }
            ]
        },
    )


class TripShown(Answer):
    """When a wire would have tripped."""

    event: Annotated[int, Field(description="After how many events.")]
    at: dt.datetime
    finding: Evidence


class BacktestShown(Answer):
    """What one rule would have made of the stream."""

    rule: str
    mode: str
    kind: str | None
    events: int
    every: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    quiet_events: Annotated[int, Field(description="Events before the change; all where none is named.")]
    quiet_trips: int
    quiet_trips_per_10000: float | None
    events_to_trip: Annotated[int | None, Field(description="The first trip's event after the change.")]
    seconds_to_trip: float | None
    trips: Annotated[list[TripShown], Field(description="The first hundred.")]
    trips_count: int


class Backtests(Answer):
    """What each rule would have made of the stream."""

    backtests: list[BacktestShown]
