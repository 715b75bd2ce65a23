"""Blindness: events have stopped coming, and a wire that sees nothing must not say that all is well."""

import datetime as dt
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from golive.tripwire.observations import Observation

GAPS: Final = 20
"""How many median gaps a silence may last."""


def silence_s(
    last_at: dt.datetime | None, now: dt.datetime | None, up_since: dt.datetime | None
) -> float | None:
    """Return for how many seconds the service has been up without an event; None where nobody can say."""
    starts = [moment for moment in (last_at, up_since) if moment is not None]
    if now is None or not starts:
        return None
    return max((now - max(starts)).total_seconds(), 0.0)


def usual_silence_s(events: Sequence[Observation]) -> float | None:
    """Return how many seconds of silence the rhythm of the events makes plausible; None where it has none.

    That is 20 times the median gap, and at least the longest gap there was: nights and weekends the events
    have been through do not make a wire blind. Gaps of nothing, within a batch, are left out.
    """
    moments = (event.created_at for event in events)
    gaps = [seconds for one, next_ in pairwise(moments) if (seconds := (next_ - one).total_seconds()) > 0]
    return max(GAPS * statistics.median(gaps), max(gaps)) if gaps else None
