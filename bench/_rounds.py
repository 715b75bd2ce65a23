"""Side by side in one run: two ways in turn, many rounds, so that a machine that drifts drifts for both."""

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Comparison(NamedTuple):
    """Medians over the rounds, in seconds a unit, and the median of the rounds' ratios."""

    ours: float
    theirs: float
    ratio: float


def per_call(call: Callable[[], object], calls: int) -> float:
    """Return the mean seconds a call takes in a tight loop."""
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls


def compare(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> Comparison:
    """Run both in turn; each returns its seconds a unit. The first round of both is not counted."""
    ours()
    theirs()
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        gc.collect()
        if number % 2:
            second = theirs()
            pairs.append((ours(), second))
        else:
            pairs.append((ours(), theirs()))
    return Comparison(
        statistics.median(mine for mine, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(mine / other for mine, other in pairs),
    )
