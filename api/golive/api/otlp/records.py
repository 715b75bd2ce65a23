"""A log record, as both encodings give it, and the bounds of what is read of one."""

from typing import Any, Final, NamedTuple

from golive.errors import InvalidEvent

MAX_ATTRIBUTES: Final = 128
"""OpenTelemetry's SDKs keep as many by default."""
MAX_VALUES: Final = 10_000
"""Of one record, those in lists and maps counted."""
MAX_DEPTH: Final = 64


class Record(NamedTuple):
    """A log record; ids of a trace are bytes, empty for none; times are Unix nanoseconds, 0 for none."""

    event_name: str
    time_ns: int
    observed_ns: int
    trace_id: bytes
    span_id: bytes
    flags: int
    body: Any
    attributes: dict[str, Any]
    sender: tuple[Any, ...]
    """Who sent it: the service's namespace, name and instance."""


SENDER: Final = ("service.namespace", "service.name", "service.instance.id")
"""The attributes of a resource that tell senders apart."""

Read = list[Record | InvalidEvent]
"""What was sent, in its order: records, and why a record is none."""


class Undecodable(Exception):
    """The body is not what its content type says; nothing of it can be read."""


class TooMany(Exception):
    """There are more log records in the body than are taken at once."""


class Bounds:
    """Counts the values of one record; raises `InvalidEvent` past the bounds."""

    def __init__(self) -> None:
        self._room = MAX_VALUES

    def enter(self, field: str, values: int, depth: int) -> None:
        """Count the values of a list or a map."""
        self._room -= values
        if self._room < 0:
            raise InvalidEvent(field, f"at most {MAX_VALUES} values in a record", "more")
        if depth >= MAX_DEPTH:
            raise InvalidEvent(field, f"at most {MAX_DEPTH} levels", "more")


def check_attributes(count: int) -> None:
    """Raise `InvalidEvent` if a record has too many attributes."""
    if count > MAX_ATTRIBUTES:
        raise InvalidEvent("attributes", f"at most {MAX_ATTRIBUTES}", f"{count}")
