"""From a log record to the KPI event it carries.

| of the record | of the event |
| --- | --- |
| `event_name`, else the attribute `event.name` | must be `kpi.event` |
| `time_unix_nano`, else `observed_time_unix_nano` | when it happened |
| `trace_id`, `span_id`, `flags` | the span it happened in |
| `golive.domain`, `golive.metric`, `golive.actor`, `golive.correlation_id` | the same |
| `golive.outcome` | `success`, `failure`, `value`, `cancelled`; without it there must be a value |
| `golive.value`, `golive.duration_ms` | numbers |
| `golive.detail`, else the body | a map, JSON text, or any text |
| `golive.event_id`, `golive.emitter` | the id; without one it is derived from all that was sent |
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from golive import ingest, names
from golive.api.otlp.records import Record
from golive.errors import InvalidEvent
from golive.events import KpiEvent
from golive.ids import id_at
from golive.ingest import Origin, Outcome
from golive.otel_logs import SUCCESS_OF

_OLD_EVENT_NAME: Final = "event.name"
_UID: Final = "log.record.uid"
"""By OpenTelemetry's conventions, records that have the same are one."""
_63_BITS: Final = (1 << 63) - 1
_SAMPLED: Final = 1


class Sorted(NamedTuple):
    """The KPI events among log records, and why others are none, by their place."""

    events: list[KpiEvent]
    refused: list[tuple[int, InvalidEvent]]


def sort(records: Iterable[Record | InvalidEvent]) -> Sorted:
    """Make KPI events of log records.

    Raises:
        SpoolFull: None can be made now: the pipeline cannot start.
    """
    found = Sorted([], [])
    seen: Counter[str] = Counter()
    for index, record in enumerate(records):
        try:
            if isinstance(record, InvalidEvent):
                raise record
            found.events.append(_event(record, seen))
        except InvalidEvent as error:
            found.refused.append((index, error))
    return found


def _event(record: Record, seen: Counter[str]) -> KpiEvent:
    attributes = record.attributes
    name = record.event_name or attributes.get(_OLD_EVENT_NAME)
    if name != names.EVENT_NAME:
        raise InvalidEvent("event_name", names.EVENT_NAME, _shown(name))
    success, value = _outcome(attributes)
    created_ns = record.time_ns or record.observed_ns
    if not created_ns:
        raise InvalidEvent("time_unix_nano", "a time", "none")
    trace_id = _trace_part("trace_id", record.trace_id, 16)
    event_id, emitter = _identity(record, created_ns, seen)
    get = attributes.get
    try:
        return ingest.event_of(
            Outcome(
                get(names.DOMAIN, ""),
                get(names.METRIC, ""),
                success,
                value,
                get(names.ACTOR),
                get(names.CORRELATION_ID),
                _detail(get(names.DETAIL), record.body),
            ),
            Origin(
                event_id,
                emitter,
                created_ns,
                trace_id,
                _trace_part("span_id", record.span_id, 8) if trace_id else None,
                trace_id is not None and bool(record.flags & _SAMPLED),
                get(names.DURATION_MS),
            ),
        )
    except InvalidEvent as error:
        field = "time_unix_nano" if error.field == "created_ns" else f"golive.{error.field}"
        raise InvalidEvent(field, error.expected, error.got) from None


def _outcome(attributes: dict[str, Any]) -> tuple[bool | None, Any]:
    """Return success flag and value; an outcome and a value that cannot go together are refused."""
    given, value = attributes.get(names.OUTCOME), attributes.get(names.VALUE)
    outcome = names.VALUE_OUTCOME if given is None and value is not None else given
    if not isinstance(outcome, str) or outcome not in SUCCESS_OF:
        raise InvalidEvent(names.OUTCOME, f"one of {', '.join(SUCCESS_OF)}", _shown(given))
    if (outcome == names.VALUE_OUTCOME and value is None) or (
        outcome == names.CANCELLED and value is not None
    ):
        expected = "a number" if value is None else "none"
        raise InvalidEvent(names.VALUE, f"{expected} with the outcome {outcome}", _shown(value))
    return SUCCESS_OF[outcome], value


def _detail(given: Any, body: Any) -> Any:
    """Return the detail; golive's own is JSON text, which is read so that its keys can be looked at (E8)."""
    if given is None:
        return body
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given


def _identity(record: Record, created_ns: int, seen: Counter[str]) -> tuple[int, int]:
    """Return id and emitter; whoever sends the same once more finds the same (E5)."""
    event_id = _number(names.EVENT_ID, record.attributes)
    emitter = _number(names.EMITTER, record.attributes)
    if event_id is not None and emitter is not None:
        return event_id, emitter
    content = ascii(record)
    # Alike to the last bit, and yet each one happened: many clocks tell milliseconds only.
    occurrence = 0 if event_id is not None or record.attributes.get(_UID) else seen[content]
    seen[content] += 1
    digest = hashlib.blake2b(f"{occurrence} {content}".encode(), digest_size=16).digest()
    derived = int.from_bytes(digest[:8], "big") & _63_BITS
    if event_id is None:
        event_id = id_at(created_ns // 1_000_000, int.from_bytes(digest[8:], "big"))
    return event_id & _63_BITS, derived if emitter is None else emitter


def _number(name: str, attributes: dict[str, Any]) -> int | None:
    """Return an attribute of 63 bits; as text, too, for JavaScript's numbers cannot hold them."""
    given = attributes.get(name)
    number = given
    if isinstance(given, str) and len(given) <= 19 and given.isascii() and given.isdigit():
        number = int(given)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _63_BITS:
        raise InvalidEvent(name, "an integer of 63 bits, or its text", _shown(given))
    return number


def _trace_part(field: str, given: bytes, length: int) -> str | None:
    if not any(given):
        return None
    if len(given) != length:
        raise InvalidEvent(field, f"{length} bytes", f"{len(given)}")
    return given.hex()


def _shown(given: object) -> str:
    return "none" if given in (None, "") else f"{type(given).__name__} {ascii(given)[:60]}"
