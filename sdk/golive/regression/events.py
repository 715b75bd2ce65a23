"""The events an evaluation reads: the newest of one stream, in one range of its index."""

import datetime as dt
from typing import Final

from golive.reader import EventReader
from golive.tripwire import Observation, carries, kind_of

LOOKED_AT: Final = 10
"""A stream whose newest events carry another kind, or are cancelled, is looked through for so many times as
many rows as are needed; a kind that is rarer than that has too few events."""


def newest(
    events: EventReader,
    domain: str,
    metric: str,
    needed: int,
    *,
    kind: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> list[Observation]:
    """Return the newest events of a stream, the newest first; `needed` rows are read at most.

    Only where some of them do not carry what the stream is judged by, `rate` or `value`, it is read a second
    time, of that kind alone; those events come last.

    Args:
        events: Reads them.
        domain: Of which domain.
        metric: Of which metric.
        needed: How many are needed; see `golive.tripwire.events_needed`.
        kind: What they are judged by; what more of them carry if None.
        since: After when.
        until: Before when.
    """
    found = events.newest(domain, metric, needed, since=since, until=until)
    if len(found) < needed:
        return found
    kind = kind or kind_of(found[::-1], needed)
    if kind is None or sum(carries(event, kind) for event in found) >= needed:
        return found
    among = needed * LOOKED_AT
    return found + events.newest(domain, metric, needed, kind=kind, among=among, since=since, until=until)
