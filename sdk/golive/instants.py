"""Instants as Unix time in whole numbers, exactly; `datetime.timestamp()` is a float, which rounds."""

import datetime as dt
from typing import Final

__all__ = ["EPOCH", "microseconds"]

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_MICROSECOND: Final = dt.timedelta(microseconds=1)


def microseconds(moment: dt.datetime) -> int:
    """Return an instant, which has to have a time zone, as Unix time in microseconds."""
    return (moment - EPOCH) // _MICROSECOND
