"""A tripwire's rule: what is compared with what, and how large a drop is too large."""

import math
from dataclasses import dataclass
from typing import Final

from golive.errors import InvalidArgument
from golive.tripwire.calibration import (
    FALSE_TRIPS,
    LARGEST_BASELINE,
    LARGEST_WINDOW,
    SMALLEST_WINDOW,
)
from golive.tripwire.observations import RATE, VALUE
from golive.tripwire.pinned import PinnedBaseline

__all__ = ["CONFIRMED", "MODES", "RATE", "THRESHOLD", "VALUE", "Rule", "events_needed"]

THRESHOLD: Final = "threshold"
CONFIRMED: Final = "confirmed"
MODES: Final = (THRESHOLD, CONFIRMED)

EVENTS_MAX: Final = 10_000
"""Of a window or a baseline; a trip reads both anew while no other governance act can go on."""
DROP_MAX: Final = 100.0
BLIND_AFTER_MAX_S: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Rule:
    """When a stream of outcomes trips.

    Attributes:
        mode: `threshold`, the plain comparison of two windows, or `confirmed`, which asks for evidence too.
        window_events: How many of the newest events are the window; 8 to 400 in `confirmed` mode, which
            looks at shorter and longer windows besides.
        baseline_events: How many events before the window are the baseline; in `confirmed` mode at least so
            many, 8 to 1,000, and up to 1,000 where there are more.
        min_events_to_enforce: With fewer events there is no verdict, whatever the other figures say.
        max_drop_fraction: The relative drop that is still borne in `threshold` mode, and the smallest that
            trips in `confirmed` mode: 0.2 is from 50 % to 40 %. Above 1 only values can fall.
        false_trips: `confirmed` mode: the share of quiet streams of 10,000 events that may trip, one of
            `FALSE_TRIPS`.
        pinned: A baseline that stays, instead of the events before the window.
        blind_after_s: Seconds without an event after which the wire is blind; None: 20 times the median gap.

    Raises:
        InvalidArgument: A field cannot be what it is; the error names it.
    """

    mode: str = CONFIRMED
    window_events: int = 50
    baseline_events: int = 200
    min_events_to_enforce: int = 50
    max_drop_fraction: float = 0.2
    false_trips: float = 0.01
    pinned: PinnedBaseline | None = None
    blind_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidArgument("mode", " or ".join(MODES), repr(self.mode)[:60])
        confirmed = self.mode == CONFIRMED
        least = SMALLEST_WINDOW if confirmed else 1
        _check_count("window_events", self.window_events, least, LARGEST_WINDOW if confirmed else EVENTS_MAX)
        _check_count(
            "baseline_events", self.baseline_events, least, LARGEST_BASELINE if confirmed else EVENTS_MAX
        )
        _check_count("min_events_to_enforce", self.min_events_to_enforce, 0, EVENTS_MAX)
        _check_number("max_drop_fraction", self.max_drop_fraction, DROP_MAX)
        if isinstance(self.false_trips, bool) or self.false_trips not in FALSE_TRIPS:
            offered = ", ".join(map(str, FALSE_TRIPS))
            raise InvalidArgument("false_trips", f"one of {offered}", repr(self.false_trips)[:60])
        if self.blind_after_s is not None:
            _check_number("blind_after_s", self.blind_after_s, BLIND_AFTER_MAX_S)
        self._check_pinned()

    def _check_pinned(self) -> None:
        if self.pinned is None:
            return
        if not isinstance(self.pinned, PinnedBaseline):
            raise InvalidArgument("pinned", "a PinnedBaseline or None", repr(self.pinned)[:60])
        if self.mode == CONFIRMED and self.pinned.kind == VALUE and not self.pinned.sample:
            raise InvalidArgument(
                "pinned", "a sample of values in confirmed mode (see pin())", "a mean alone"
            )


def events_needed(rule: Rule) -> int:
    """Return how many of the newest events an evaluation uses at most; more do not change the finding.

    Those are events that carry what the stream is judged by. A reader that took so many of any sort, and
    finds too few among them, reads again, of that sort alone.
    """
    if rule.mode == CONFIRMED:
        most = LARGEST_WINDOW + (0 if rule.pinned else LARGEST_BASELINE)
    else:
        most = rule.window_events + (0 if rule.pinned else rule.baseline_events)
    return max(most, rule.min_events_to_enforce)


def _check_count(field: str, given: object, least: int, most: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise InvalidArgument(field, f"{least} to {most}", repr(given)[:60])


def _check_number(field: str, given: object, most: float) -> None:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or not 0 < given <= most:  # type: ignore[arg-type,operator] # checked
        raise InvalidArgument(field, f"a number above 0, at most {most:g}", repr(given)[:60])
