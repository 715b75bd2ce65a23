"""A stream as a chart for a terminal: its level over its events, and where each rule tripped."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from golive.commands._common import shown

if TYPE_CHECKING:
    from golive.tripwire import Observation
    from golive.tripwire.levels import Level

WIDTH = 96
HEIGHT = 8
_BLOCKS = " ▁▂▃▄▅▆▇█"


def chart(
    events: "Sequence[Observation]",
    kind: str | None,
    marks: Mapping[str, Sequence[int]],
    change: dt.datetime | None,
) -> list[str]:
    """Return the lines of the chart.

    Args:
        events: The events of the stream.
        kind: What they are judged by.
        marks: For each rule, after how many events it tripped.
        change: When something changed.
    """
    from golive.tripwire.levels import levels

    columns = levels(events, kind, WIDTH)
    if not columns:
        return []
    low = min(0.0, *(column.level for column in columns))
    high = max(column.level for column in columns)
    style = ".0%" if kind == "rate" else ".4g"
    rows = [_row(columns, low, high, row) for row in range(HEIGHT - 1, -1, -1)]
    labels = [f"{high:{style}}", *[""] * (HEIGHT - 2), f"{low:{style}}"]
    lines = [f"{label:>8} {row}" for label, row in zip(labels, rows, strict=True)]
    first, last = columns[0].at, columns[-1].at
    lines.append(f"{'':8} {f'{first:%Y-%m-%d}':<{max(len(columns) - 10, 11)}}{last:%Y-%m-%d}")
    if change is not None:
        place = next((i for i, column in enumerate(columns) if column.at >= change), len(columns) - 1)
        lines.append(f"{'':8} {' ' * place}▲ the change")
    for name, trips in marks.items():
        hit = [any(before < trip <= column.until for trip in trips) for before, column in _spans(columns)]
        lines.append(f"{'trips':>8} {''.join('╳' if each else '·' for each in hit)} {shown(name)}")
    return lines


def _spans(columns: "Sequence[Level]") -> "list[tuple[int, Level]]":
    starts = [0, *(column.until for column in columns)]
    return list(zip(starts, columns, strict=False))


def _row(columns: "Sequence[Level]", low: float, high: float, row: int) -> str:
    """Return one row of the bars, 0 the lowest, each character an eighth of a row exact."""
    spread = (high - low) or 1.0
    cells = []
    for column in columns:
        eighths = round((column.level - low) / spread * HEIGHT * 8) - row * 8
        cells.append(_BLOCKS[min(max(eighths, 0), 8)])
    return "".join(cells)
