"""Every error golive raises.

    GoliveError                         anything below
    ├── InvalidArgument (ValueError)    an argument cannot be what it has to be
    │   └── InvalidEvent                … of a KPI helper: no KPI event can have it
    ├── ConfigurationError              a setting or an argument of `configure()` cannot work
    ├── SchemaError                     the event store lacks golive's tables, or has an older version of them
    ├── SpoolFull                       the spool is full and the policy is `raise`
    ├── VersionConflict                 somebody else changed the state meanwhile
    ├── Blocked                         go-live cannot be enabled: the runbook has blockers
    └── ProductionRefused (RuntimeError)  production must not act now

Each class has a stable `code`; `docs/errors.md` has a section for each.
"""

from collections.abc import Mapping, Sequence
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
