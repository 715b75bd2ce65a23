"""What many measured times come to, and how figures are shown."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Latency(NamedTuple):
    """How long the calls took, in seconds."""

    p50: float
    p95: float
    p99: float
    p999: float
    longest: float

    @classmethod
    def of(cls, took_s: Sequence[float]) -> "Latency":
        """Return the percentiles of at least two times."""
        cuts = statistics.quantiles(took_s, n=1000, method="inclusive")
        return cls(cuts[499], cuts[949], cuts[989], cuts[998], max(took_s))

    @classmethod
    def median(cls, rounds: Sequence["Latency"]) -> "Latency":
        """Return the median of each percentile over the rounds, and the longest of all."""
        p50, p95, p99, p999, _ = (statistics.median(values) for values in zip(*rounds, strict=True))
        return cls(p50, p95, p99, p999, max(each.longest for each in rounds))


def time_of(seconds: float) -> str:
    """Return a time as it is read best, such as `26.3 µs` or `1.97 ms`."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            shown = seconds * factor
            return f"{shown:.1f} {unit}" if shown < 100 else f"{shown:.0f} {unit}"
    return f"{seconds:.2f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line).lstrip() + " |" for line in lines)


def megabytes(size: float) -> str:
    """Return bytes as MiB."""
    return f"{size / 2**20:.1f} MiB" if size < 100 * 2**20 else f"{size / 2**20:,.0f} MiB"
