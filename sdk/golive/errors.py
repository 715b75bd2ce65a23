"""Every error golive raises.

    GoliveError                         anything below
    ├── InvalidArgument (ValueError)    an argument cannot be what it has to be
    │   └── InvalidEvent                … of a KPI helper: no KPI event can have it
    ├── ConfigurationError              a setting or an argument of `configure()` cannot work
    ├── SchemaError                     the event store lacks golive's tables, or has an older version of them
    ├── SpoolFull                       the spool is full and the policy is `raise`
    ├── VersionConflict                 somebody else changed the state meanwhile
    ├── Blocked                         go-live cannot be enabled: the runbook has blockers
    ├── ProductionRefused (RuntimeError)  production must not act now
    ├── RiskDenied (RuntimeError)       the caps leave no room for an action
    ├── IdempotencyConflict             a key was used before, for another request
    ├── NotReserved (LookupError)       there is no such reservation to settle
    ├── ReservationClosed               it was settled or released before
    ├── NotEligible (RuntimeError)      production may not use this recommendation
    ├── NoTripwire (LookupError)        there is no tripwire of this domain and metric
    ├── NotTripped                      there is nothing to re-arm
    └── NotRestorable                   a re-arm cannot give the engine back what it had

Each class has a stable `code`; `docs/errors.md` has a section for each.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar


class GoliveError(Exception):
    """Base of every error golive raises on purpose."""

    code: ClassVar[str] = "golive"


class InvalidArgument(GoliveError, ValueError):
    """An argument is not what it has to be.

    Attributes:
        field: The argument that was wrong.
        expected: What would have been accepted.
        got: What was given, shortened.
    """

    code = "invalid_argument"

    def __init__(self, field: str, expected: str, got: str) -> None:
        self.field = field
        self.expected = expected
        self.got = got
        super().__init__(f"{field}: expected {expected}, got {got}")


class InvalidEvent(InvalidArgument):
    """An argument of a KPI helper cannot be part of a KPI event."""

    code = "invalid_event"


class ConfigurationError(GoliveError):
    """A setting, an environment variable or an argument of `configure()` cannot work."""

    code = "configuration"


class SchemaError(GoliveError):
    """The database has no golive tables, or an older version of them; `golive db upgrade` mends it."""

    code = "schema"


class SpoolFull(GoliveError):
    """The spool reached its size limit and the policy is `raise`: the event was not recorded."""

    code = "spool_full"


class VersionConflict(GoliveError):
    """The state was changed since the version the caller saw; nothing was changed.

    Attributes:
        version: The version it has now.
    """

    code = "version_conflict"

    def __init__(self, what: str, expected: int, version: int) -> None:
        self.version = version
        super().__init__(
            f"{what} has version {version}, not {expected}: somebody changed it meanwhile; "
            "read it again and decide anew"
        )


class Blocked(GoliveError):
    """Go-live was not enabled, for the runbook has blockers; nothing was changed.

    Attributes:
        blockers: The failing checks, as the runbook has them.
    """

    code = "blocked"

    def __init__(self, blockers: Sequence[Mapping[str, Any]]) -> None:
        self.blockers = list(blockers)
        ids = ", ".join(str(blocker["id"]) for blocker in blockers)
        super().__init__(f"go-live cannot be enabled while the runbook has blockers: {ids}")


class ProductionRefused(GoliveError, RuntimeError):
    """Production must not act now.

    Attributes:
        reason: `kill_switch_engaged`, `go_live_disabled` or `state_unknown`.
    """

    code = "production_refused"

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class RiskDenied(GoliveError, RuntimeError):
    """The risk guard denied an action; nothing was reserved.

    Attributes:
        engine: Who asked.
        policy: Whose policy denied: the engine's, or `GLOBAL`.
        reason: `policy_missing`, `policy_disabled`, or the cap that leaves no room, as `max_daily_exposure`.
        limit: The cap in force, its throttle applied; None where no cap is the reason.
        used: How much of it is used.
        asked: How much was asked for.
        room: How much is left.
    """

    code = "risk_denied"

    def __init__(
        self,
        engine: str,
        policy: str,
        reason: str,
        limit: Decimal | int | None = None,
        used: Decimal | int | None = None,
        asked: Decimal | int | None = None,
        room: Decimal | int | None = None,
    ) -> None:
        self.engine = engine
        self.policy = policy
        self.reason = reason
        self.limit = limit
        self.used = used
        self.asked = asked
        self.room = room
        text = f"{engine} was denied by the policy of {policy}: {reason}"
        if limit is not None:
            text += f" (limit {limit}, used {used}, asked {asked}, room left {room})"
        super().__init__(text)


class IdempotencyConflict(GoliveError):
    """The idempotency key was used before, for a request that differs; nothing was reserved."""

    code = "idempotency_conflict"


class NotReserved(GoliveError, LookupError):
    """There is no such reservation; nothing was booked."""

    code = "not_reserved"


class ReservationClosed(GoliveError):
    """The reservation was settled or released before, with other figures; nothing was booked.

    Attributes:
        status: What became of it: `settled` or `released`.
    """

    code = "reservation_closed"

    def __init__(self, reservation_id: int, status: str, what: str) -> None:
        self.status = status
        super().__init__(f"reservation {reservation_id} is {status}: {what}")


class NotEligible(GoliveError, RuntimeError):
    """Production may not use a recommendation.

    Attributes:
        reason: `policy_missing`, `prod_use_disabled`, `confidence_too_low`, `too_few_trials`,
            `success_rate_too_low`, or `UNKNOWN`: there is no such recommendation.
    """

    code = "not_eligible"
    UNKNOWN: ClassVar[str] = "unknown_recommendation"

    def __init__(self, what: str, reason: str, explanation: str) -> None:
        self.reason = reason
        super().__init__(f"{what} may not be used in production: {reason} ({explanation})")


class NoTripwire(GoliveError, LookupError):
    """There is no tripwire's policy for this domain and metric."""

    code = "no_tripwire"

    def __init__(self, domain: str, metric: str) -> None:
        super().__init__(f"{domain}/{metric} has no tripwire: make its policy first")


class NotTripped(GoliveError):
    """The tripwire is not tripped: there is nothing to re-arm, and nothing was changed."""

    code = "not_tripped"


class NotRestorable(GoliveError):
    """A re-arm cannot give the engine back what it had before the trip; the wire is not re-armed either."""

    code = "not_restorable"
