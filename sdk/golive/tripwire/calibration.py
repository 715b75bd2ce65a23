"""How much evidence a drop needs, by how often quiet streams may trip; `bench/tripwire` has the proof."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from golive.tripwire.observations import RATE, VALUE

SCANNED_WINDOWS: Final = (8, 12, 16, 24, 32, 50, 75, 100, 150, 200, 300, 400)
"""How many of the newest events are compared, each in turn, with those before them."""
SMALLEST_WINDOW: Final = SCANNED_WINDOWS[0]
LARGEST_WINDOW: Final = SCANNED_WINDOWS[-1]
LARGEST_BASELINE: Final = 1_000

FOR_RATES: Final = ((0.3, 10.7), (0.5, 11.25), (0.65, 11.5), (0.85, 11.5), (0.9, 11.0))
"""Baseline rate and bar at 1 %: where outcomes are more even, more windows can look bad by chance."""
_FOR_VALUES: Final = 12.5
_STRICTER: Final[Mapping[str, Mapping[float, float]]] = MappingProxyType(
    {RATE: {0.001: 2.5, 0.01: 0.0, 0.05: -1.5}, VALUE: {0.001: 3.5, 0.01: 0.0, 0.05: -1.75}}
)
FALSE_TRIPS: Final = tuple(_STRICTER[RATE])
"""The shares of quiet streams of 10,000 events, judged after every event, that may trip."""


def evidence_needed(false_trips: float, kind: str, baseline: float) -> float:
    """Return the log-likelihood ratio a trip needs; a suspicion needs half of it.

    Args:
        false_trips: One of `FALSE_TRIPS`.
        kind: `rate` or `value`.
        baseline: The success rate before; means do not matter.
    """
    usual = _FOR_VALUES if kind == VALUE else _between(FOR_RATES, baseline)
    return usual + _STRICTER[kind][false_trips]


def _between(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the height of a line through points at x, level beyond the first and the last."""
    if x <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return points[-1][1]
