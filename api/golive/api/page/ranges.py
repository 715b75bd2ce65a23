"""The range of time the rates are shown of."""

import datetime as dt
from collections.abc import Mapping
from typing import Final, NamedTuple

from golive.api.page.fields import moment
from golive.errors import InvalidArgument
from golive.models.base import utc_now

PRESETS: Final = {
    "1h": ("1 hour", dt.timedelta(hours=1)),
    "24h": ("24 hours", dt.timedelta(hours=24)),
    "7d": ("7 days", dt.timedelta(days=7)),
    "30d": ("30 days", dt.timedelta(days=30)),
    "90d": ("90 days", dt.timedelta(days=90)),
}
DEFAULT: Final = "24h"
_SECOND: Final = dt.timedelta(seconds=1)


class Range(NamedTuple):
    """From when, until before when; whole seconds. `preset` is empty for one that was typed."""

    preset: str
    since: dt.datetime
    until: dt.datetime


def chosen(query: Mapping[str, str], now: dt.datetime | None = None) -> Range:
    """Return the range a query asks for: a preset up to now, or from a time to another.

    Raises:
        InvalidArgument: A time is none, or the range is empty.
    """
    since, until = moment(query, "since"), moment(query, "until")
    # To the end of this second, so that what happened just now is seen.
    end = (now or utc_now()).replace(microsecond=0) + _SECOND
    if since is not None:
        until = (until or end).replace(microsecond=0)
        since = since.replace(microsecond=0)
        if since >= until:
            raise InvalidArgument("since", "a time before the end of the range", since.isoformat())
        return Range("", since, until)
    preset = query.get("range", DEFAULT)
    preset = preset if preset in PRESETS else DEFAULT
    return Range(preset, end - PRESETS[preset][1], end)
