"""What goes over the wire about the confidence charter."""

import datetime as dt
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from golive.api.schemas.base import Answer, Correlation, Domain, Id, Json, Reason, Request, ShownId, Version
from golive.heimdall.policy import SCORECARD_DAYS_MAX, TRIALS_MAX

Share = Annotated[StrictFloat, Field(ge=0, le=1)]
"""A rate or a confidence."""


class HeimdallPolicyBody(Request):
    """The policy of a domain: what its recommendations must show."""

    domain: Domain
    min_confidence_prod: Share
    min_sandbox_trials: Annotated[StrictInt, Field(ge=0, le=TRIALS_MAX)]
    min_sandbox_success_rate: Share
    prod_use_enabled: StrictBool
    scorecard_days: Annotated[
        StrictInt | None, Field(ge=1, le=SCORECARD_DAYS_MAX, description="`null` leaves it.")
    ] = None
    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "BUYER_MATCH",
                    "min_confidence_prod": 0.9,
                    "min_sandbox_trials": 50,
                    "min_sandbox_success_rate": 0.8,
                    "prod_use_enabled": False,
                    "reason": "another model",
                    "version": 1,
                }
            ]
        },
    )


class HeimdallPolicyShown(Answer):
    """The policy of a domain."""

    domain: str
    min_confidence_prod: float
    min_sandbox_trials: int
    min_sandbox_success_rate: float
    scorecard_days: int
    prod_use_enabled: bool
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None


class HeimdallPolicies(Answer):
    """Every policy, by its domain."""

    policies: list[HeimdallPolicyShown]


class ScorecardView(Answer):
    """The sandbox trials of a domain's last days, and why they do not do for production yet."""

    domain: str
    since: dt.date
    trials: int
    successes: int
    success_rate: float | None
    avg_confidence: float | None
    proven: bool
    reason: str | None
    explanation: str | None


class Scorecards(Answer):
    """The scorecard of every domain with a policy."""

    scorecards: list[ScorecardView]


class TrialBody(Request):
    """How a recommendation did in the sandbox."""

    domain: Domain
    success: StrictBool
    confidence: Share
    correlation_id: Correlation = None
    detail: Json = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"domain": "BUYER_MATCH", "success": True, "confidence": 0.93}]},
    )


class RecommendBody(Request):
    """What to do, how sure that is, and what it rests on; kept exactly."""

    domain: Domain
    confidence: Share
    recommendation: dict[str, Any] | list[Any] | str | int | float | bool
    evidence: Json = None
    correlation_id: Correlation = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain": "BUYER_MATCH",
                    "confidence": 0.95,
                    "recommendation": {"buyer": 17},
                    "correlation_id": "deal_123",
                }
            ]
        },
    )


class UseBody(Request):
    """The recommendation that is about to be used in production."""

    recommendation_id: Id
    correlation_id: Correlation = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"recommendation_id": "4611686018427387904"}]})


class PromoteBody(Request):
    """The domain production may use from now on."""

    domain: Domain
    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"domain": "BUYER_MATCH", "reason": "60 trials, 88 %", "version": 1}]
        },
    )


class RecommendationView(Answer):
    """A recommendation, and what the gate said when it was made."""

    id: ShownId
    domain: str
    confidence: float
    recommendation: Annotated[Json, Field(validation_alias="recommendation_json")]
    evidence: Annotated[Json, Field(validation_alias="evidence_json")]
    prod_eligible: bool
    gate_reason: str | None
    correlation_id: str | None
    actor: str | None
    trace_id: str | None
    created_at: dt.datetime


class HeimdallSnapshot(Answer):
    """Where the charter stands at one moment; of the recommendations the newest first."""

    policies: list[HeimdallPolicyShown]
    scorecards: list[ScorecardView]
    recommendations: list[RecommendationView]
