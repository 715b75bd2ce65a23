"""A stream as a drawing: its level over its events, and where each rule tripped."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape  # it parses nothing # nosec B406

if TYPE_CHECKING:
    from golive.tripwire.levels import Level

WIDTH, HEIGHT = 960, 360
_LEFT, _RIGHT, _TOP, _ROW = 70, 20, 40, 18
_COLOURS = ("#c0392b", "#2471a3", "#7d3c98", "#1e8449", "#b9770e")


def svg(
    title: str,
    columns: "Sequence[Level]",
    kind: str | None,
    marks: Mapping[str, Sequence[int]],
    change: dt.datetime | None,
) -> str:
    """Return the drawing.

    Args:
        title: The name of the stream.
        columns: Its level at many places.
        kind: `rate` or `value`.
        marks: For each rule, after how many events it tripped.
        change: When something changed.
    """
    bottom = HEIGHT - 40 - _ROW * len(marks)
    low = min([0.0, *(column.level for column in columns)])
    high = max([low, *(column.level for column in columns)]) or 1.0
    last = columns[-1].until if columns else 1

    def x(event: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * event / last

    def y(level: float) -> float:
        return bottom - (bottom - _TOP) * (level - low) / ((high - low) or 1.0)

    parts = [_text(_LEFT, 24, title, "start", 16)]
    for level in (low, (low + high) / 2, high):
        parts.append(_line(_LEFT, y(level), WIDTH - _RIGHT, y(level), "#d5d8dc"))
        parts.append(
            _text(_LEFT - 8, y(level) + 4, f"{level:.0%}" if kind == "rate" else f"{level:.4g}", "end")
        )
    points = " ".join(f"{x(column.until):.1f},{y(column.level):.1f}" for column in columns)
    parts.append(f'<polyline points="{points}" fill="none" stroke="#34495e" stroke-width="1.5"/>')
    if columns:
        parts.append(_text(_LEFT, bottom + 18, f"{columns[0].at:%Y-%m-%d %H:%M}", "start"))
        parts.append(_text(WIDTH - _RIGHT, bottom + 18, f"{columns[-1].at:%Y-%m-%d %H:%M}", "end"))
    if change is not None:
        place = x(next((column.until for column in columns if column.at >= change), last))
        parts.append(_line(place, _TOP, place, bottom, "#000000", "4 3"))
        parts.append(_text(place + 4, _TOP + 12, "the change", "start"))
    for number, (name, trips) in enumerate(marks.items()):
        colour, row = _COLOURS[number % len(_COLOURS)], bottom + 36 + _ROW * number
        parts += [_line(x(trip), _TOP, x(trip), bottom, colour, "2 2") for trip in trips]
        parts.append(f'<rect x="{_LEFT}" y="{row - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(_LEFT + 16, row, f"{name}: {len(trips)} trips", "start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
