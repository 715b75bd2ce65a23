"""The page's charts, as SVG: shapes with classes, whose colours the style sheet has, light and dark.

They stretch to the width they are given, so words and figures stand beside them, never in them. Whatever
they show is said in a label for whoever does not see them.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from markupsafe import Markup

from golive.series import Series, mean, rate

WIDTH: Final = 100
_LINE_TOP: Final = 3.0
_RATE: Final = "rate"
_EVENTS_A_PLACE: Final = 8
_TOGETHER_MAX: Final = 8


class Band(NamedTuple):
    """A run of events and their level: from which place to which, both 0 to 1."""

    start: float
    end: float
    level: float | None


def bar(used: float | None) -> Markup:
    """Return how much of something is used, 1 for all of it; None where there is no bound."""
    if used is None:
        return _svg("bar", 6, '<rect class="track none" width="100" height="6"/>')
    share = min(max(used, 0.0), 1.0)
    tone = "bad" if used >= 1 else "warn" if used >= 0.8 else "good"
    fill = f'<rect class="fill {tone}" width="{_n(share * WIDTH)}" height="6"/>' if share else ""
    return _svg("bar", 6, f'<rect class="track" width="100" height="6"/>{fill}')


def rates(series: Series, steps: int, label: str) -> Markup:
    """Return the rate or the mean of a stream in steps, over how many events each has."""
    height, foot = 40.0, 11.0
    most = max(step.events for step in series.steps)
    bars = "".join(
        f"M{step.place + 0.5} {_n(height)}v-{_n(max(foot * step.events / most, 0.4))}"
        for step in series.steps
    )
    levels = _levels(series)
    low, high = _range([level for _, level in levels], series.success_rate is not None)
    bottom = height - foot - 3
    line = _polyline([(place, _y(level, low, high, _LINE_TOP, bottom)) for place, level in levels])
    return _svg("rates", height, f'<path class="volume" d="{bars}"/>{line}', label, width=steps)


def windows(
    levels: Sequence[tuple[float, float]],
    kind: str | None,
    baseline: Band | None,
    window: Band | None,
    label: str,
    height: float = 34.0,
) -> Markup:
    """Return the level of a stream over its events, both windows marked.

    Args:
        levels: Places, 0 to 1, and the level there.
        kind: `rate` or `value`.
        baseline: The run that is compared with.
        window: The run that is compared.
        label: All of it in words.
        height: Of the drawing, where its width is 100.
    """
    low, high = scale(levels, kind, baseline, window)

    def y(level: float) -> float:
        return _y(level, low, high, _LINE_TOP, height - _LINE_TOP)

    parts = []
    for name, band in (("baseline", baseline), ("window", window)):
        if band is not None and band.end > band.start:
            x, width = band.start * WIDTH, (band.end - band.start) * WIDTH
            parts.append(
                f'<rect class="band {name}" x="{_n(x)}" y="0" width="{_n(width)}" height="{_n(height)}"/>'
            )
    parts.append(_polyline([(place * WIDTH, y(level)) for place, level in levels]))
    for name, band in (("baseline", baseline), ("window", window)):
        if band is not None and band.level is not None:
            at = _n(y(band.level))
            end = window.end if name == "baseline" and window is not None else band.end
            parts.append(f'<path class="mean {name}" d="M{_n(band.start * WIDTH)} {at}H{_n(end * WIDTH)}"/>')
    return _svg("windows", height, "".join(parts), label)


def scale(
    levels: Sequence[tuple[float, float]], kind: str | None, *bands: Band | None
) -> tuple[float, float]:
    """Return the lowest and the highest level a drawing of windows shows."""
    shown = [level for _, level in levels]
    shown += [band.level for band in bands if band is not None and band.level is not None]
    return _range(shown, kind == _RATE)


def marks(places: Sequence[float], change: float | None, label: str) -> Markup:
    """Return a strip with a mark at each place, 0 to 1, and another where something changed."""
    ticks = "".join(f"M{_n(place * WIDTH)} 1V9" for place in places)
    changed = f'<path class="change" d="M{_n(change * WIDTH)} 0V10"/>' if change is not None else ""
    body = f'<path class="axis" d="M0 9.5H100"/><path class="mark" d="{ticks}"/>{changed}'
    return _svg("marks", 10, body, label)


def span(start: float, end: float, tone: str) -> Markup:
    """Return one row of a waterfall: from which place to which, 0 to 1; never too short to be seen."""
    left = min(start * WIDTH, WIDTH - 0.8)
    width = max((end - start) * WIDTH, 0.8)
    return _svg(
        "span",
        10,
        f'<rect class="fill {tone}" x="{_n(left)}" y="2" width="{_n(width)}" height="6" rx="0.3"/>',
    )


def _levels(series: Series) -> list[tuple[float, float]]:
    """Return the middle of each place, in steps, and its level; of so many steps that a rate is one."""
    together = 1
    while together < _TOGETHER_MAX and series.events * together < _EVENTS_A_PLACE * len(series.steps):
        together *= 2
    level = rate if series.success_rate is not None else mean
    found = groupby(series.steps, key=lambda step: step.place // together)
    made = (((place + 0.5) * together, level(list(steps))) for place, steps in found)
    return [(at, shown) for at, shown in made if shown is not None]


def _range(levels: Sequence[float], of_rates: bool) -> tuple[float, float]:
    if of_rates or not levels:
        return 0.0, 1.0
    low, high = min(levels), max(levels)
    margin = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _y(level: float, low: float, high: float, top: float, bottom: float) -> float:
    return bottom - (bottom - top) * (level - low) / ((high - low) or 1.0)


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    if not points:
        return ""
    if len(points) == 1:  # of no length, and yet seen: its ends are round
        points = [points[0], points[0]]
    steps = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    return f'<path class="line" d="M{steps}"/>'


def _svg(name: str, height: float, body: str, label: str | None = None, width: float = WIDTH) -> Markup:
    said = Markup(' role="img" aria-label="{}"').format(label) if label else Markup(' aria-hidden="true"')
    return Markup(  # noqa: S704 - figures, names of classes, an escaped label # nosec B704
        f'<svg class="chart {name}" viewBox="0 0 {_n(width)} {_n(height)}" preserveAspectRatio="none"{said}>'
        f"{body}</svg>"
    )


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
