"""What every exporter of KPI events does with the log records it is given, and with what goes wrong."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import URL

from golive import names, otel_logs, settings
from golive.events import KpiEvent, check_event
from golive.otel_logs import ReadableLogRecord

if TYPE_CHECKING:
    from golive.exporters.tripwires import AfterEvents

_log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0


def events_of(batch: Sequence[ReadableLogRecord]) -> Iterator[KpiEvent]:
    """Yield the KPI events among log records; those that say they are events, and are none, are logged."""
    for record in batch:
        try:
            event = otel_logs.from_record(record)
            if event is not None and not otel_logs.is_own(record):
                check_event(event)
        except (KeyError, TypeError, ValueError) as error:
            _log.error("a log record named kpi.event is no KPI event and was not written: %s", error)
            continue
        if event is not None:
            yield event


def streams_of(batch: Sequence[ReadableLogRecord]) -> Iterator[tuple[str, str]]:
    """Yield the domain and the metric of each KPI event among log records."""
    for record in batch:
        if record.log_record.event_name == names.EVENT_NAME:
            attributes = record.log_record.attributes or {}
            yield str(attributes.get(names.DOMAIN)), str(attributes.get(names.METRIC))


def after_events(store: URL) -> "AfterEvents | None":
    """Return what evaluates tripwires after so many events of a store, where it was asked for."""
    every = settings.evaluate_every_from_environment()
    if not every:
        return None
    from golive.exporters.tripwires import AfterEvents

    # The levers of a store apart are in the database.
    return AfterEvents(None if settings.events_url_from_environment() else store, every)


class Complaints:
    """Logs that the store cannot be written: once for each cause, and each minute; and that it can again."""

    def __init__(self) -> None:
        self._said, self._due = "", 0.0

    def cannot_write(self, error: Exception) -> None:
        """Say so, unless it was said a moment ago."""
        message = one_line(error)
        if message != self._said or time.monotonic() >= self._due:
            self._said, self._due = message, time.monotonic() + _COMPLAIN_EVERY_S
            _log.error("the event store cannot be written, events wait in the spool: %s", message)

    def written(self) -> None:
        """Say that it can be written again, if it could not."""
        if self._said:
            self._said, self._due = "", 0.0
            _log.warning("the event store can be written again")


def log_rejected(row: str) -> None:
    """Log an event the store refuses, where nobody keeps it."""
    _log.error("not recorded: %s", row)


def one_line(error: Exception) -> str:
    """Return what an error says in one line, the driver's own words."""
    cause = getattr(error, "orig", None) or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:500]
