"""The risk guard: no action without room under the caps of its engine, and of all engines together.

    from golive.risk import RiskDenied, risk_reserve_or_raise, risk_settle

    reservation = risk_reserve_or_raise(db, "WHOLESALE", Decimal("120.00"), actor="broker")   # or RiskDenied
    …                                                                                         # the action
    risk_settle(db, "WHOLESALE", Decimal("120.00"), Decimal("3.50"), reservation_id=reservation.id)

The caps hold to the cent under any number of threads, processes and hosts on one database. With a SQLAlchemy
session a reservation shares the fate of its transaction, and locks the ledgers until its end; with an
engine, a URL or None it is committed when the call returns. `docs/risk.md` has the rules.
"""

from golive.errors import IdempotencyConflict, NotReserved, ReservationClosed, RiskDenied
from golive.models.risk import GLOBAL
from golive.risk.decisions import Decision, decisions
from golive.risk.guard import risk_refund, risk_release, risk_reserve_or_raise, risk_settle
from golive.risk.ledger import Book, Ledger, books
from golive.risk.policy import Limits, RiskPolicyView, policies, upsert_policy
from golive.risk.reservations import Reservation, open_reservations

__all__ = [
    "GLOBAL",
    "Book",
    "Decision",
    "IdempotencyConflict",
    "Ledger",
    "Limits",
    "NotReserved",
    "Reservation",
    "ReservationClosed",
    "RiskDenied",
    "RiskPolicyView",
    "books",
    "decisions",
    "open_reservations",
    "policies",
    "risk_refund",
    "risk_release",
    "risk_reserve_or_raise",
    "risk_settle",
    "upsert_policy",
]
