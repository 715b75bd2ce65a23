"""`river`'s detectors that are no simple recursion: KSWIN on outcomes of two values, and ADWIN as it is."""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from bench.tripwire.scan import NOTHING, sums
from bench.tripwire.streams import Array, generator


class Kswin:
    """KSWIN (Raab et al. 2020): Kolmogorov and Smirnov's test of the newest events and some older ones.

    On two values the test sees only how many successes either has, so the sample is a hypergeometric draw and
    the p-value a table. The evidence is -ln p where the newest have fewer.
    """

    def __init__(self, window: int = 100, newest: int = 30) -> None:
        self.name = f"KSWIN {newest} of {window}"
        self.window, self.newest = window, newest

    def evidence(self, x: Array) -> Array:
        """Return -ln p after every event."""
        total = sums(x)
        older = self.window - self.newest
        good = total[:, self.window :] - total[:, older : total.shape[1] - self.newest]
        before = total[:, older : total.shape[1] - self.newest] - total[:, : total.shape[1] - self.window]
        drawn = generator(5).hypergeometric(before, older - before, self.newest)
        found = np.full(x.shape, NOTHING, np.float32)
        found[:, self.window - 1 :] = _minus_log_p(self.newest)[np.maximum(drawn - good, 0)]
        return found


@lru_cache
def _minus_log_p(size: int) -> Array:
    """Return -ln p of the test by how many successes fewer there are among two times `size` events."""
    from scipy import stats  # here, because importing it takes a second

    table = []
    for fewer in range(size + 1):
        one, other = [0] * fewer + [1] * (size - fewer), [1] * size
        with warnings.catch_warnings(action="ignore"):  # as river does: "exact" may become "asymptotic"
            table.append(-np.log(stats.ks_2samp(one, other, method="auto").pvalue))
    return np.array(table, np.float32)


def adwin_alarms(x: Array, delta: float, after: int = 0) -> list[int | None]:
    """Return after how many events each stream has its first alarm for a fall, past the first `after`."""
    from river import drift

    library: Any = drift  # half typed

    alarms: list[int | None] = []
    for stream in x.tolist():
        detector = library.ADWIN(delta=delta)
        alarm = None
        for at, outcome in enumerate(stream):
            before = detector.estimation
            detector.update(outcome)
            if detector.drift_detected and at >= after and detector.estimation < before:
                alarm = at + 1
                break
        alarms.append(alarm)
    return alarms
