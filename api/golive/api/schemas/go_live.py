"""What goes over the wire about the go-live state and the kill switch."""

import datetime as dt

from pydantic import ConfigDict

from golive.api.schemas.base import Answer, Reason, Request, Version


class GoLiveStateView(Answer):
    """Whether production may act, who said so last, and why. `version` goes into `If-Match`."""

    go_live_enabled: bool
    kill_switch_engaged: bool
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None

    model_config = ConfigDict(
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


class KillSwitchEngagement(Request):
    """Stop production. No version: the switch is for when nobody has time to look one up."""

    reason: Reason

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "offers go out twice"}]})


class StateChange(Request):
    """A change of the go-live state, made on the version that was read."""

    reason: Reason
    version: Version = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "week 1 of the experiment", "version": 3}]}
    )
