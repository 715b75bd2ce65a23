"""Streams of events in a store, for tripwires to be held against."""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import insert

from golive import governance, regression
from golive.models import KpiEventRow
from golive.models.base import utc_now
from golive.regression import RegressionStateView

WHOLESALE = ("WHOLESALE", "contract_rate")
CAPITAL = ("CAPITAL", "roi_event")

_ids = itertools.count(1)


def fill(
    url: str,
    stream: tuple[str, str],
    outcomes: Iterable[bool | float | None],
    *,
    start: dt.datetime | None = None,
    gap_s: float = 1.0,
) -> list[int]:
    """Store one event each: a success flag, a value, or None for a cancelled one; return their ids.

    They happened `gap_s` apart; by default the last of them now.
    """
    listed = list(outcomes)
    first = start or utc_now() - dt.timedelta(seconds=gap_s * (len(listed) - 1))
    rows: list[dict[str, Any]] = [
        {
            "id": next(_ids),
            "emitter": 1,
            "domain": stream[0],
            "metric": stream[1],
            "success": outcome if isinstance(outcome, bool) else None,
            "value": None if isinstance(outcome, bool) else outcome,
            "trace_id": f"{number:032x}",
            "created_at": first + dt.timedelta(seconds=gap_s * number),
        }
        for number, outcome in enumerate(listed)
    ]
    with governance.engine_for(url).begin() as connection:
        for batch in _batches(rows):
            connection.execute(insert(KpiEventRow), batch)
    return [row["id"] for row in rows]


def at_rate(rate: float, n: int) -> list[bool]:
    """Return `n` outcomes of which this share succeeds, the failures evenly spread."""
    return [int((place + 1) * (1 - rate) + 1e-9) == int(place * (1 - rate) + 1e-9) for place in range(n)]


def enable(url: str, stream: tuple[str, str], **values: Any) -> None:
    """Enable the wire of a stream, with these columns of its policy."""
    domain, metric = stream
    regression.upsert_policy(
        url, domain=domain, metric=metric, enabled=True, actor="ops", reason="test", **values
    )


def standing(url: str, stream: tuple[str, str]) -> RegressionStateView:
    """Return where a wire stands."""
    with governance.reading(url) as connection:
        [found] = [state for state in regression.states(connection) if (state.domain, state.metric) == stream]
    return found


def _batches(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (rows[start : start + 1000] for start in range(0, len(rows), 1000))
