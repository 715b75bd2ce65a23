"""Whether there is room for an action: a function of policies and ledgers, and of nothing else."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from golive.risk.ledger import Book

POLICY_MISSING = "policy_missing"
POLICY_DISABLED = "policy_disabled"


class Refusal(NamedTuple):
    """Why there is no room; the attributes are those of `RiskDenied`."""

    policy: str
    reason: str
    limit: Decimal | int | None = None
    used: Decimal | int | None = None
    asked: Decimal | int | None = None
    room: Decimal | int | None = None


def refusal(books: Sequence[Book], amount: Decimal) -> Refusal | None:
    """Return why an amount cannot be reserved, by the first cap that has no room; None if it can.

    A loss cap denies once it is reached: how much of an open amount will be lost, nobody knows yet.
    """
    for book in books:
        policy, ledger = book.policy, book.ledger
        if policy is None:
            return Refusal(book.engine, POLICY_MISSING)
        if not policy.allows_actions:
            return Refusal(book.engine, POLICY_DISABLED)
        limits = policy.limits()
        if limits.max_daily_loss is not None and ledger.realized_loss >= limits.max_daily_loss:
            room = max(limits.max_daily_loss - ledger.realized_loss, Decimal(0))
            return Refusal(
                book.engine, "max_daily_loss", limits.max_daily_loss, ledger.realized_loss, amount, room
            )
        caps: tuple[tuple[str, Decimal | int | None, Decimal | int, Decimal | int], ...] = (
            ("max_daily_exposure", limits.max_daily_exposure, ledger.exposure_used, amount),
            ("max_open_risk", limits.max_open_risk, ledger.open_risk_reserved, amount),
            ("max_actions_per_day", limits.max_actions_per_day, ledger.actions_count, 1),
        )
        for reason, limit, used, asked in caps:
            if limit is not None and used + asked > limit:
                return Refusal(book.engine, reason, limit, used, asked, max(limit - used, limit - limit))
    return None
