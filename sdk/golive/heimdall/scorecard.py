"""The scorecard: the sandbox trials of a domain, one row a day (in UTC)."""

import datetime as dt
from typing import Final, NamedTuple

from sqlalchemy import Connection, Date, bindparam, func, select, text

from golive.models import HeimdallScorecardDay
from golive.models.base import UtcDateTime

_day = HeimdallScorecardDay
_TOTALS: Final = (
    func.coalesce(func.sum(_day.trials), 0),
    func.coalesce(func.sum(_day.successes), 0),
    func.coalesce(func.sum(_day.trials * _day.avg_confidence), 0.0),
)

_ADD_SQL: Final = """
INSERT INTO heimdall_scorecard_day (day, domain, trials, successes, avg_confidence, updated_at)
SELECT :day, :domain, 1, :success, :confidence, :now WHERE true
ON CONFLICT (day, domain) DO UPDATE SET trials = heimdall_scorecard_day.trials + 1,
    successes = heimdall_scorecard_day.successes + :success, updated_at = :now,
    avg_confidence = heimdall_scorecard_day.avg_confidence
        + (:confidence - heimdall_scorecard_day.avg_confidence) / (heimdall_scorecard_day.trials + 1)"""
"""One trial more. The mean moves by its difference from the new one, divided by their number (Welford)."""
_ADD: Final = text(_ADD_SQL).bindparams(bindparam("day", type_=Date), bindparam("now", type_=UtcDateTime))


class Scorecard(NamedTuple):
    """The trials of a domain over some days.

    Attributes:
        since: The first of the days.
        success_rate: Of the trials; None where there are none.
        avg_confidence: Mean over the trials; None where there are none.
    """

    domain: str
    since: dt.date
    trials: int = 0
    successes: int = 0
    success_rate: float | None = None
    avg_confidence: float | None = None


def add(connection: Connection, domain: str, success: bool, confidence: float, now: dt.datetime) -> None:
    """Book one trial on the scorecard of its day."""
    trial = {"day": now.date(), "domain": domain, "success": int(success), "confidence": confidence}
    connection.execute(_ADD, trial | {"now": now})


def scorecard(connection: Connection, domain: str, days: int, today: dt.date) -> Scorecard:
    """Return the trials of the last `days` days, `today` among them."""
    since = today - dt.timedelta(days=days - 1)
    of_days = (_day.domain == domain, _day.day >= since, _day.day <= today)
    trials, successes, confidence = connection.execute(select(*_TOTALS).where(*of_days)).one()
    if not trials:
        return Scorecard(domain, since)
    return Scorecard(domain, since, trials, successes, successes / trials, confidence / trials)
