"""What was typed into a field, as what it stands for."""

import datetime as dt
import math
from collections.abc import Mapping

from golive.errors import InvalidArgument


def line(fields: Mapping[str, str], name: str, most: int) -> str | None:
    """Return a text, stripped; None where nothing was typed.

    Raises:
        InvalidArgument: It is too long, or no database could look for it.
    """
    text = fields.get(name, "").strip()
    if len(text) > most or "\0" in text:
        raise InvalidArgument(name, f"at most {most} characters", ascii(text)[:60])
    return text or None


def whole(fields: Mapping[str, str], name: str) -> int | None:
    """Return a whole number; None where nothing was typed."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise InvalidArgument(name, "a whole number", ascii(text)[:60])
    return int(text)


def decimal(fields: Mapping[str, str], name: str, scale: float = 1.0) -> float | None:
    """Return a number, divided by the scale; None where nothing was typed."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgument(name, "a number", ascii(text)[:60])
    # As it was typed: 15 / 100 is 0.15, and 0.07 * 100 / 100 has to be 0.07 again.
    return round(number / scale, 12)


def moment(fields: Mapping[str, str], name: str) -> dt.datetime | None:
    """Return a time in UTC, of a date or a date and a time; None where nothing was typed."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
        return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(name, "a time as 2026-11-23T09:00", ascii(text)[:60]) from None
