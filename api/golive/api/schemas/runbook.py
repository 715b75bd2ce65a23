"""What goes over the wire about the runbook and its gates."""

import datetime as dt

from pydantic import ConfigDict

from golive.api.schemas.base import Answer, Json
from golive.checks import Severity
from golive.runbook import Verdict


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
