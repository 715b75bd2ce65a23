"""A correlation id: its events as a waterfall."""

from typing import Any, Final, NamedTuple

import anyio
from starlette.responses import Response

from golive import readers
from golive.api.page.doors import Visit
from golive.api.page.fields import line
from golive.events import CORRELATION_ID_MAX
from golive.reader import TimelineEntry

SHOWN: Final = 500
_TONES: Final = {"success": "good", "failure": "bad", "value": "plain", "cancelled": "warn"}


class Row(NamedTuple):
    """One event: where its bar begins and ends, 0 to 1, and in which tone."""

    entry: TimelineEntry
    start: float
    end: float
    tone: str


async def show(visit: Visit) -> Response:
    """Show the form and, where an id is asked for, its events."""
    wanted = line(visit.request.query_params, "id", CORRELATION_ID_MAX)
    if wanted is None:
        return visit.page("correlation.html", id=None, more=False, **_waterfall([]))

    def read() -> list[TimelineEntry]:
        with readers.reading(visit.control.engine) as events:
            return events.timeline(wanted, limit=SHOWN + 1)

    found = await anyio.to_thread.run_sync(read)
    return visit.page("correlation.html", id=wanted, more=len(found) > SHOWN, **_waterfall(found[:SHOWN]))


def _waterfall(entries: list[TimelineEntry]) -> dict[str, Any]:
    """Return the rows: a timed step ends when it was recorded, and began its duration before."""
    spans = [(entry.offset_s - (entry.duration_ms or 0.0) / 1000, entry.offset_s) for entry in entries]
    begin = min((start for start, _ in spans), default=0.0)
    end = max((end for _, end in spans), default=0.0)
    whole_s = (end - begin) or 1.0
    rows = [
        Row(entry, (start - begin) / whole_s, (stop - begin) / whole_s, _TONES.get(entry.outcome, "plain"))
        for entry, (start, stop) in zip(entries, spans, strict=True)
    ]
    traces = list(dict.fromkeys(entry.trace_id for entry in entries if entry.trace_id))
    return {"rows": rows, "whole_s": end - begin, "traces": traces}
