"""How much evidence a drop needs, by how often quiet streams may trip; `bench/tripwire` has the proof."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from golive.tripwire.observations import RATE, VALUE

SCANNED_WINDOWS: Final = (8, 12, 16, 24, 32, 50, 75, 100, 150, 200, 300, 400)
"""How many of the newest events are compared, each in turn, with those before them."""
SMALLEST_WINDOW: Final = SCANNED_WINDOWS[0]
LARGEST_WINDOW: Final = SCANNED_WINDOWS[-1]
LARGEST_BASELINE: Final = 1_000

_EVIDENCE: Final[Mapping[str, Mapping[float, float]]] = MappingProxyType(
    {
        RATE: {0.001: 14.0, 0.01: 11.5, 0.05: 9.75},
        VALUE: {0.001: 14.75, 0.01: 12.5, 0.05: 10.75},
    }
)
FALSE_TRIPS: Final = tuple(_EVIDENCE[RATE])
"""The shares of quiet streams of 10,000 events, judged after every event, that may trip."""


def evidence_needed(false_trips: float, kind: str) -> float:
    """Return the log-likelihood ratio a trip needs; a suspicion needs half of it.

    Args:
        false_trips: One of `FALSE_TRIPS`.
        kind: `rate` or `value`.
    """
    return _EVIDENCE[kind][false_trips]
