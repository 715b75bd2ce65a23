"""A stream's level over its events: what a chart of it is drawn from."""

import datetime as dt
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from golive.tripwire.observations import RATE, Observation, carries, in_order


class Level(NamedTuple):
    """Some events in a row: the last of them by number, when it was, and their rate or mean."""

    until: int
    at: dt.datetime
    level: float


def levels(events: Sequence[Observation], kind: str | None, places: int) -> list[Level]:
    """Return the level of the stream at so many places, or fewer where it has fewer events."""
    if kind is None:
        return []
    counted = [event for event in in_order(events) if carries(event, kind)]
    made = []
    places = min(places, len(counted))
    for place in range(places):
        start, end = place * len(counted) // places, (place + 1) * len(counted) // places
        part = counted[start:end]
        figures = [float(event.success is True) if kind == RATE else event.value or 0.0 for event in part]
        made.append(Level(end, part[-1].created_at, statistics.fmean(figures)))
    return made
