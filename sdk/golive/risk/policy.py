"""Risk policies: the caps of an engine, how much of them is in force, and how they are changed."""

import datetime as dt
import math
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection

from golive import governance
from golive.errors import InvalidArgument
from golive.models import RiskPolicy
from golive.models.base import EXACT
from golive.models.risk import GLOBAL
from golive.policies import PolicyTable
from golive.risk.money import CENT, check_amount

ENGINE_MAX: Final = 32
ACTIONS_MAX: Final = 2**31 - 1
_UTC: Final = "UTC"


class Limits(NamedTuple):
    """The caps in force, the throttle applied; None is no cap."""

    max_daily_loss: Decimal | None
    max_daily_exposure: Decimal | None
    max_open_risk: Decimal | None
    max_actions_per_day: int | None


class RiskPolicyView(NamedTuple):
    """A policy as it is stored."""

    engine: str
    enabled: bool
    max_daily_loss: Decimal | None
    max_daily_exposure: Decimal | None
    max_open_risk: Decimal | None
    max_actions_per_day: int | None
    throttle: float
    time_zone: str
    changed_by: str | None
    reason: str | None
    version: int
    updated_at: dt.datetime | None

    @property
    def allows_actions(self) -> bool:
        """Whether it is enabled and not throttled to nothing."""
        return self.enabled and self.throttle > 0

    def limits(self) -> Limits:
        """Return the caps times the throttle, rounded down."""
        share = Decimal(repr(min(self.throttle, 1.0))) if self.throttle > 0 else Decimal(0)
        caps = (self.max_daily_loss, self.max_daily_exposure, self.max_open_risk)
        loss, exposure, open_risk = (
            None if cap is None else EXACT.multiply(cap, share).quantize(CENT, ROUND_FLOOR, EXACT)
            for cap in caps
        )
        actions = self.max_actions_per_day
        if actions is not None:
            actions = math.floor(EXACT.multiply(Decimal(actions), share))
        return Limits(loss, exposure, open_risk, actions)

    def zone(self) -> ZoneInfo:
        """Return the zone whose days the ledgers have."""
        return ZoneInfo(self.time_zone)


POLICIES: Final = PolicyTable(RiskPolicy, RiskPolicyView, ["engine"])


def policies(connection: Connection) -> list[RiskPolicyView]:
    """Return every policy, `GLOBAL` first."""
    return sorted(POLICIES.all(connection), key=lambda policy: policy.engine != GLOBAL)


def upsert_policy(
    db: object = None,
    *,
    engine: str,
    enabled: bool,
    max_daily_loss: Decimal | int | None,
    max_daily_exposure: Decimal | int | None,
    max_open_risk: Decimal | int | None,
    max_actions_per_day: int | None,
    throttle: float | None = None,
    time_zone: str | None = None,
    actor: str,
    reason: str,
    version: int | None = None,
) -> RiskPolicyView:
    """Make or replace the policy of an engine; what is reserved from now on has to meet it.

    Args:
        db: What names the database.
        engine: Whose, or `GLOBAL`.
        enabled: Whether the engine may act at all.
        max_daily_loss: Realized loss of a day at which no further action is allowed.
        max_daily_exposure: Sum of the amounts reserved in a day.
        max_open_risk: Sum of what is reserved and not settled yet.
        max_actions_per_day: Reservations of a day.
        throttle: Share of the caps in force, 0 to 1; at 0 the engine may not act. None leaves the one it has,
            for it may be there for a reason; 1 for a new policy.
        time_zone: IANA name of the zone whose days count; of `GLOBAL` only, for every engine's ledger has
            its days. None leaves the one it has; UTC for a new policy.
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
        "enabled": governance.check_flag("enabled", enabled),
        "max_daily_loss": _check_cap("max_daily_loss", max_daily_loss),
        "max_daily_exposure": _check_cap("max_daily_exposure", max_daily_exposure),
        "max_open_risk": _check_cap("max_open_risk", max_open_risk),
        "max_actions_per_day": _check_actions(max_actions_per_day),
    }
    if throttle is not None:
        values["throttle"] = _check_throttle(throttle)
    if time_zone is not None:
        values["time_zone"] = _check_zone(engine, time_zone)
    key = [check_engine(engine)]
    with governance.acting(db) as connection:
        return POLICIES.put(connection, key, values, actor=actor, reason=reason, version=version)


def check_engine(engine: object) -> str:
    """Return the engine's name, or raise `InvalidArgument`."""
    if not isinstance(engine, str) or not engine.strip():
        raise InvalidArgument("engine", f"1 to {ENGINE_MAX} characters", repr(engine)[:60])
    if len(engine) > ENGINE_MAX or not engine.isprintable():
        raise InvalidArgument("engine", f"at most {ENGINE_MAX} printable characters", ascii(engine)[:60])
    return engine


def _check_cap(field: str, given: object) -> Decimal | None:
    return None if given is None else check_amount(field, given)


def _check_actions(given: object) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= ACTIONS_MAX:
        raise InvalidArgument("max_actions_per_day", f"None or 0 to {ACTIONS_MAX}", repr(given)[:60])
    return given


def _check_throttle(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise InvalidArgument("throttle", "a number from 0 to 1", repr(given)[:60])
    return float(given)


def _check_zone(engine: str, given: object) -> str:
    if engine != GLOBAL and given != _UTC:
        raise InvalidArgument("time_zone", "it only of GLOBAL, whose days every ledger has", repr(given)[:60])
    try:
        return ZoneInfo(given).key  # type: ignore[arg-type]
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise InvalidArgument("time_zone", "an IANA name, as Europe/Berlin", repr(given)[:60]) from None
