"""Amounts of money: exact, in whole cents."""

from decimal import Decimal
from typing import Final

from golive.errors import InvalidArgument
from golive.models.base import EXACT

CENT: Final = Decimal("0.01")
NO_CAP: Final = Decimal("9999999999999999.99")
"""More than any amount, and the most the databases' columns hold."""
MOST: Final = Decimal("99999999999999.99")
"""The most of one amount: ledgers hold the sum of a hundred such."""


def check_amount(field: str, given: object) -> Decimal:
    """Return an amount of money, or raise `InvalidArgument`.

    A Decimal or an int, not negative, without fractions of a cent; floats, which have some, are refused.
    """
    expected = f"a Decimal or an int in whole cents, from 0 to {MOST}"
    if isinstance(given, bool) or not isinstance(given, Decimal | int):
        raise InvalidArgument(field, expected, repr(given)[:60])
    amount = Decimal(given)
    if not amount.is_finite() or not 0 <= amount <= MOST:
        raise InvalidArgument(field, expected, repr(given)[:60])
    in_cents = EXACT.quantize(amount, CENT)
    if in_cents != amount:
        raise InvalidArgument(field, expected, repr(given)[:60])
    return in_cents
