"""The tables about values."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from bench.tripwire import delays, ranks
from bench.tripwire.rate_tables import Progress, head, percent, row
from bench.tripwire.streams import EVENTS, QUIET, Array, generator
from bench.tripwire.tuning import interval, share

from golive.tripwire import FALSE_TRIPS, VALUE, evidence_needed

AFTER = 400
BAR = evidence_needed(0.01, VALUE, 0)
_SHAPES: dict[str, Callable[[Array], Array]] = {
    "normal, sd 30 %": lambda u: 100 + 30 * _normal(u),
    "normal, sd 200 %": lambda u: 100 + 200 * _normal(u),
    "Student t, 3 degrees, sd 30 %": lambda u: 100 + 30 / math.sqrt(3) * _student(u),
    "lognormal, σ 0.5": lambda u: 100 * np.exp(0.5 * _normal(u) - 0.125),
    "lognormal, σ 1": lambda u: 100 * np.exp(_normal(u) - 0.5),
}
"""Distributions of mean 100, made of uniform numbers."""


def _normal(u: Array) -> Array:
    return np.array([_STANDARD.inv_cdf(each) for each in u.tolist()])


_STANDARD = NormalDist()


def _student(u: Array) -> Array:
    from scipy import stats  # here, because importing it takes a second

    return stats.t.ppf(u, 3)


def quiet_values(streams: int, progress: Progress) -> list[str]:
    """Return how often streams of values trip although nothing changed."""
    n = max(20, streams // 2)
    least = evidence_needed(max(FALSE_TRIPS), VALUE, 0)
    trips = {name: dict.fromkeys(FALSE_TRIPS, 0) for name in _SHAPES}
    peaks = []
    for stream in range(n):
        u = generator(8, stream).random(ranks.READ + EVENTS)
        blocks = list(ranks.evidence(u, ranks.READ))
        peaks.append(max(float(block.max()) for _, block in blocks))
        if peaks[-1] >= least:
            for name, shape in _SHAPES.items():
                x = shape(u)
                for offered in FALSE_TRIPS:
                    bar = evidence_needed(offered, VALUE, 0)
                    trips[name][offered] += ranks.first_trip(x, blocks, bar, 0.2) is not None
        if stream % 100 == 99:
            progress(f"quiet values: {stream + 1} of {n} streams")
    low, high = interval(0.01, n)
    lines = [
        "## Values",
        "",
        f"Quiet streams of {EVENTS:,} events after {ranks.READ:,}, judged after every event, that trip at "
        f"least once ({n} streams: 1 % is {low:.1%} to {high:.1%}).",
        "",
        *head("`confirmed`, `false_trips`", *FALSE_TRIPS),
    ]
    for name, found in trips.items():
        lines.append(row(name, *(percent(found[offered] / n) for offered in FALSE_TRIPS)))
    cells = [percent(share(np.array(peaks) >= evidence_needed(offered, VALUE, 0))) for offered in FALSE_TRIPS]
    lines.append(row("any distribution, if any drop counted", *cells))
    progress(lines[-1])
    return lines


def _fallen(x: Array, change: float, name: str) -> Array:
    """Return values whose mean is lower by a share: positive ones shrink, others shift."""
    return x * (1 - change) if "lognormal" in name and change < 1 else x - 100 * change


_CHANGES = {"mean −20%": 0.2, "mean −30%": 0.3, "mean −50%": 0.5, "+100 to −60": 1.6}


def value_delays(streams: int, progress: Progress) -> list[str]:
    """Return how many events after a change of values `confirmed` mode takes."""
    n = max(20, streams // 4)
    lines = [
        f"After a change, {n} streams a cell: share that trips within 50 / 100 / 200 / 400 events in",
        "percent, then the median. Lognormal values shrink in proportion, others shift.",
        "",
        *head("values", *_CHANGES),
    ]
    for number, (name, shape) in enumerate(_SHAPES.items()):
        cells = []
        for change, after in enumerate(_CHANGES.values()):
            taken = []
            for stream in range(n):
                x = shape(generator(9, number, change, stream).random(QUIET + AFTER))
                x[QUIET:] = _fallen(x[QUIET:], after, name)
                at = ranks.first_trip(x, list(ranks.evidence(x, QUIET)), BAR, 0.2)
                taken.append(np.inf if at is None else at - QUIET)
            cells.append(str(delays.of(taken)))
        lines.append(row(name, *cells))
        progress(lines[-1])
    return lines


TABLES = (quiet_values, value_delays)
