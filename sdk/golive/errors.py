"""Every error golive raises.

    GoliveError                      anything below
    ├── InvalidEvent (ValueError)    a helper was called with an argument no KPI event can have
    ├── ConfigurationError           a setting or an argument of `configure()` cannot work
    ├── SchemaError                  the event store lacks golive's tables, or has an older version of them
    └── SpoolFull                    the spool is full and the policy is `raise`

Each class has a stable `code`; `docs/errors.md` has a section for each.
"""

from typing import ClassVar


class GoliveError(Exception):
    """Base of every error golive raises on purpose."""

    code: ClassVar[str] = "golive"


class InvalidEvent(GoliveError, ValueError):
    """An argument of a KPI helper cannot be part of a KPI event.

    Attributes:
        field: The argument that was wrong.
        expected: What would have been accepted.
    """

    code = "invalid_event"

    def __init__(self, field: str, expected: str, got: str) -> None:
        self.field = field
        self.expected = expected
        super().__init__(f"{field}: expected {expected}, got {got}")


class ConfigurationError(GoliveError):
    """A setting, an environment variable or an argument of `configure()` cannot work."""

    code = "configuration"


class SchemaError(GoliveError):
    """The database has no golive tables, or an older version of them; `golive db upgrade` mends it."""

    code = "schema"


class SpoolFull(GoliveError):
    """The spool reached its size limit and the policy is `raise`: the event was not recorded."""

    code = "spool_full"
