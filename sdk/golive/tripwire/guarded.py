"""Means that no single value decides."""

import math
import statistics
from collections.abc import Sequence


def guarded(ascending: Sequence[float]) -> Sequence[float]:
    """Return values in ascending order with the lowest and the highest replaced by their neighbours."""
    if len(ascending) < 3:
        return ascending
    return [ascending[1], *ascending[1:-1], ascending[-2]]


def mean(values: Sequence[float]) -> float:
    """Return the mean of finite values; it is finite however large they are."""
    try:
        return statistics.fmean(values)
    except OverflowError:
        return sum(value / len(values) for value in values)


def standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of two or more finite values."""
    scale = max(map(abs, values))
    if not scale:
        return 0.0
    scaled = [value / scale for value in values]
    middle = statistics.fmean(scaled)
    variance = math.fsum((value - middle) ** 2 for value in scaled) / (len(values) - 1)
    return scale * math.sqrt(variance / len(values))
