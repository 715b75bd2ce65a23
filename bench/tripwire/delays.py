"""How many events after a change each detector takes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from bench.tripwire.riverside import adwin_alarms
from bench.tripwire.streams import QUIET, Array, changed
from bench.tripwire.tuning import Tuned

RATES_BEFORE = (0.95, 0.9, 0.7, 0.5, 0.3)
DROPS = (0.2, 0.3, 0.5, 1.0)
WITHIN = (50, 100, 200, 400)


class Delay(NamedTuple):
    """Shares of streams that trip within so many events of a change, and the median; infinite if few do."""

    within: tuple[float, ...]
    median: float

    def __str__(self) -> str:
        """Return it as the tables have it: shares in percent, then the median."""
        shares = "/".join(f"{100 * share:.0f}" for share in self.within)
        return f"{shares}, {events(self.median)}"


def events(median: float) -> str:
    """Return a median, or a dash where most streams do not trip."""
    return f"{median:.0f}" if np.isfinite(median) else "–"


def of(alarms: Sequence[float]) -> Delay:
    """Return the delay from the number of events each stream took; infinite for none."""
    taken = np.asarray(alarms, float)
    return Delay(tuple(float(np.mean(taken <= limit)) for limit in WITHIN), float(np.median(taken)))


def first_after(evidence: Array, bar: float) -> Array:
    """Return how many events after the change the evidence first reaches the bar."""
    hits = evidence[:, QUIET:] >= bar
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)


def delays(detector: Tuned, streams: int) -> dict[tuple[float, float], Delay]:
    """Return a detector's delay for every rate before and every drop."""
    found = {}
    for rate in RATES_BEFORE:
        for drop in DROPS:
            evidence = detector.rule(rate).evidence(changed(rate, drop, streams))
            found[rate, drop] = of(first_after(evidence, detector.bar))
    return found


def adwin_delays(delta: float, streams: int) -> dict[tuple[float, float], Delay]:
    """Return ADWIN's."""
    found = {}
    for rate in RATES_BEFORE:
        for drop in DROPS:
            alarms = adwin_alarms(changed(rate, drop, streams), delta, QUIET)
            found[rate, drop] = of([np.inf if alarm is None else alarm - QUIET for alarm in alarms])
    return found
