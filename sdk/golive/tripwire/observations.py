"""What is judged: the outcomes of one (domain, metric), each once, in the order they happened."""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

RATE: Final = "rate"
VALUE: Final = "value"


class Observation(NamedTuple):
    """One KPI event, as far as a tripwire looks at it; `created_at` is when it happened."""

    id: int
    created_at: dt.datetime
    success: bool | None = None
    value: float | None = None
    trace_id: str | None = None


def in_order(observations: Iterable[Observation]) -> list[Observation]:
    """Return the events from the oldest to the newest, each id once.

    Late and out-of-order events take the place their time gives them; the id breaks ties. Of events with one
    id the earliest counts.
    """
    ordered = sorted(observations, key=lambda event: (event.created_at, event.id))
    once: dict[int, Observation] = {}
    for event in ordered:
        once.setdefault(event.id, event)
    return list(once.values())


def carries(event: Observation, kind: str | None = None) -> bool:
    """Tell whether an event carries what a kind of stream is judged by; None for either.

    An event with a success flag belongs to the rate, with a value besides or not. A cancelled event carries
    neither, and a value that is not finite is none.
    """
    if event.success is not None:
        return kind != VALUE
    return kind != RATE and event.value is not None and math.isfinite(event.value)


def kind_of(ordered: Sequence[Observation], newest: int) -> str | None:
    """Return what a stream is judged by, `rate` or `value`: what more of its newest events carry.

    Args:
        ordered: Its events, from the oldest to the newest.
        newest: How many of those that carry either are asked.

    Returns:
        The rate where both are as many, None where no event carries anything.
    """
    asked = [event for event in ordered if carries(event)][-newest:]
    if not asked:
        return None
    return RATE if 2 * sum(carries(event, RATE) for event in asked) >= len(asked) else VALUE
