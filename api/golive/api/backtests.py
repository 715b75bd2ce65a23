"""What the backtest's route and its form on the page share: the bounds of one, and its events."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Final

from golive import governance
from golive.regression import RegressionPolicyView, backtest
from golive.regression.backtest import Backtest
from golive.regression.policy import POLICIES
from golive.tripwire import Observation, Rule

EVENTS_MAX: Final = 100_000
"""How many stored events are replayed at most: the newest."""
BACKTEST_S: Final = 30.0
"""How long a backtest may take, with all of its candidates."""


def stored_policy(db: object, domain: str, metric: str) -> RegressionPolicyView | None:
    """Return the policy of a stream; None where there is none."""
    with governance.reading(db) as connection:
        return POLICIES.get(connection, domain, metric)


def replayed(
    db: object,
    domain: str,
    metric: str,
    rules: Mapping[str, Rule],
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    change: dt.datetime | None = None,
    every: int | None = None,
) -> tuple[list[Observation], dict[str, Backtest]]:
    """Return the newest 100,000 stored events of a stream, and what each rule would have made of them.

    Args:
        db: What names the database.
        domain: Of which stream.
        metric: Of which stream.
        rules: Which rules.
        since, until: Of which time.
        change: When something changed.
        every: After how many events to judge; by default 1 for rates.

    Raises:
        InvalidArgument: It takes more than 30 seconds.
    """
    deadline = time.monotonic() + BACKTEST_S
    found = backtest.stored(
        db, domain, metric, since=since, until=until, limit=EVENTS_MAX, timeout_s=BACKTEST_S
    )
    return found, {
        name: backtest.backtest(rule, found, change=change, every=every, deadline=deadline)
        for name, rule in rules.items()
    }
