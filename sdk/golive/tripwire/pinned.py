"""Baselines that stay: pinned by a person, or frozen by a trip."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from golive.errors import InvalidArgument
from golive.tripwire.calibration import LARGEST_BASELINE, SMALLEST_WINDOW
from golive.tripwire.guarded import guarded, mean
from golive.tripwire.observations import RATE, VALUE, Observation, carries, in_order, kind_of

_KINDS: Final = (RATE, VALUE)


@dataclass(frozen=True, slots=True)
class PinnedBaseline:
    """What a stream was like when it was well.

    Attributes:
        kind: `rate` for success rates, `value` for means of values.
        level: The success rate, 0 to 1, or the mean.
        n: From how many events it was taken, which is how well it is known; None for a rate that is known
            exactly, or decreed, and for a decreed mean.
        sample: Values it was taken from, in ascending order, at most 1,000; `confirmed` mode ranks the window
            among them. Empty for rates.

    Raises:
        InvalidArgument: A field cannot be what it is; the error names it.
    """

    kind: str
    level: float
    n: int | None = None
    sample: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InvalidArgument("pinned.kind", " or ".join(_KINDS), repr(self.kind)[:60])
        if not _finite(self.level) or (self.kind == RATE and not 0 <= self.level <= 1):
            expected = "a rate from 0 to 1" if self.kind == RATE else "a finite number"
            raise InvalidArgument("pinned.level", expected, repr(self.level)[:60])
        if self.n is not None and (isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1):
            raise InvalidArgument("pinned.n", "a number of events, or None", repr(self.n)[:60])
        if self.n is None and self.kind == RATE and self.level in (0, 1):
            raise InvalidArgument("pinned.n", "a number of events, for a rate of 0 or 1", "None")
        if self.kind == RATE and self.sample:
            raise InvalidArgument("pinned.sample", "no values, for a rate", f"{len(self.sample)}")
        if self.sample and not SMALLEST_WINDOW <= len(self.sample) <= LARGEST_BASELINE:
            expected = f"{SMALLEST_WINDOW} to {LARGEST_BASELINE} values"
            raise InvalidArgument("pinned.sample", expected, f"{len(self.sample)}")
        if not all(_finite(value) for value in self.sample):
            raise InvalidArgument("pinned.sample", "finite numbers", "something else")
        object.__setattr__(self, "sample", tuple(sorted(map(float, self.sample))))

    def as_json(self) -> dict[str, Any]:
        """Return the form it is stored in."""
        stored = {"kind": self.kind, "level": self.level, "n": self.n}
        return stored | ({"sample": list(self.sample)} if self.sample else {})

    @classmethod
    def from_json(cls, stored: object) -> "PinnedBaseline":
        """Return what `as_json` gave.

        Raises:
            InvalidArgument: It is something else.
        """
        if not isinstance(stored, Mapping) or not stored.keys() <= {"kind", "level", "n", "sample"}:
            raise InvalidArgument("pinned", "kind, level, and perhaps n and sample", repr(stored)[:60])
        sample = stored.get("sample") or ()
        if isinstance(sample, str) or not isinstance(sample, Sequence):
            raise InvalidArgument("pinned.sample", "a list of numbers", repr(sample)[:60])
        return cls(stored.get("kind", ""), stored.get("level", math.nan), stored.get("n"), tuple(sample))


def pin(observations: Iterable[Observation]) -> PinnedBaseline:
    """Return the baseline the given events make, for a rule to keep.

    Args:
        observations: The events of a time that was well, in any order. All of them count, but of more than
            1,000 values the sample keeps 1,000, evenly spaced by rank.

    Raises:
        InvalidArgument: Fewer than 8 of them carry what their kind is judged by.
    """
    ordered = in_order(observations)
    kind = kind_of(ordered, len(ordered))
    events = [event for event in ordered if carries(event, kind)]
    if len(events) < SMALLEST_WINDOW:
        raise InvalidArgument("observations", f"{SMALLEST_WINDOW} events or more", f"{len(events)}")
    if kind == RATE:
        return PinnedBaseline(RATE, sum(bool(event.success) for event in events) / len(events), len(events))
    return pinned_values(sorted(event.value for event in events if event.value is not None))


def pinned_values(ascending: Sequence[float]) -> PinnedBaseline:
    """Return the baseline of one or more values in ascending order; fewer than 8 make no sample."""
    n = len(ascending)
    kept = min(n, LARGEST_BASELINE)
    sample = tuple(ascending[(2 * place + 1) * n // (2 * kept)] for place in range(kept))
    return PinnedBaseline(VALUE, mean(guarded(ascending)), n, sample if n >= SMALLEST_WINDOW else ())


def _finite(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
