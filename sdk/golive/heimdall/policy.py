"""The charter's policies: what the recommendations of a domain must show, and how that is changed."""

import datetime as dt
import math
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from golive import governance
from golive.errors import InvalidArgument
from golive.events import check_domain
from golive.models import HeimdallPolicy
from golive.policies import PolicyTable

TRIALS_MAX: Final = 2**31 - 1
SCORECARD_DAYS_MAX: Final = 3660


class HeimdallPolicyView(NamedTuple):
    """A policy as it is stored."""

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


POLICIES: Final = PolicyTable(HeimdallPolicy, HeimdallPolicyView, ["domain"])


def policies(connection: Connection) -> list[HeimdallPolicyView]:
    """Return every policy, by its domain."""
    return POLICIES.all(connection)


def upsert_policy(
    db: object = None,
    *,
    domain: str,
    min_confidence_prod: float,
    min_sandbox_trials: int,
    min_sandbox_success_rate: float,
    prod_use_enabled: bool,
    scorecard_days: int | None = None,
    actor: str,
    reason: str,
    version: int | None = None,
) -> HeimdallPolicyView:
    """Make or replace the policy of a domain; what is used from now on has to meet it.

    Args:
        db: What names the database.
        domain: Whose recommendations.
        min_confidence_prod: The least confidence of a recommendation, 0 to 1.
        min_sandbox_trials: How many trials the scorecard needs.
        min_sandbox_success_rate: Which share of them succeeded at least, 0 to 1.
        prod_use_enabled: Whether production may use any; `heimdall_promote` turns it on where it is earned.
        scorecard_days: How many days of trials the scorecard has, today's among them. None leaves what is
            there; 30 for a new policy.
        actor: Who.
        reason: Why.
        version: The version of the policy the decision was made on, 0 for one that is not there yet; None
            to not care.

    Raises:
        InvalidArgument: An argument is not what it has to be.
        VersionConflict: The policy was changed since.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    values: dict[str, Any] = {
        "min_confidence_prod": check_share("min_confidence_prod", min_confidence_prod),
        "min_sandbox_trials": _check_count("min_sandbox_trials", min_sandbox_trials, 0, TRIALS_MAX),
        "min_sandbox_success_rate": check_share("min_sandbox_success_rate", min_sandbox_success_rate),
        "prod_use_enabled": governance.check_flag("prod_use_enabled", prod_use_enabled),
    }
    if scorecard_days is not None:
        values["scorecard_days"] = _check_count("scorecard_days", scorecard_days, 1, SCORECARD_DAYS_MAX)
    key = [check_domain(domain)]
    with governance.acting(db) as connection:
        return POLICIES.put(connection, key, values, actor=actor, reason=reason, version=version)


def check_share(field: str, given: object) -> float:
    """Return a share, a rate or a confidence, or raise `InvalidArgument`: a number from 0 to 1."""
    if isinstance(given, bool) or not isinstance(given, int | float) or math.isnan(given):
        raise InvalidArgument(field, "a number from 0 to 1", repr(given)[:60])
    if not 0 <= given <= 1:
        raise InvalidArgument(field, "a number from 0 to 1", repr(given)[:60])
    return abs(float(given))


def _check_count(field: str, given: object, least: int, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise InvalidArgument(field, f"{least} to {most}", repr(given)[:60])
    return given
