"""Record business KPIs: each call is a span, a counter, an OpenTelemetry event and a row in `kpi_event`.

    from golive.kpi import kpi_success, kpi_timed_step

    kpi_success(db, "WHOLESALE", "offer_sent", actor="broker", correlation_id="offer_123")

    with kpi_timed_step(db, "BUYER_MATCH", "algorithm_run", actor="matcher") as step:
        step.value = run_matching_algorithm()

`db` is the caller's SQLAlchemy session: a success or a value recorded inside its open transaction becomes
true when that commits, and vanishes when it rolls back; a failure is recorded always. `None` records at once.

Every argument but `detail` is checked, and `InvalidEvent` (a `ValueError`) names the one that is wrong.
`detail` takes anything: `golive.detail` says what becomes of it. No other error reaches the caller, but
`SpoolFull` where the policy for a full spool is `raise`.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from golive import _emit
from golive.errors import InvalidEvent
from golive.events import check_success, check_value
from golive.steps import Step, kpi_timed_step

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    Db: TypeAlias = Session | AsyncSession | scoped_session[Any] | async_scoped_session[Any] | None

__all__ = ["Step", "emit_kpi", "kpi_fail", "kpi_success", "kpi_timed_step", "kpi_value"]


def emit_kpi(
    db: "Db",
    domain: str,
    metric: str,
    success: bool | None = None,
    value: float | Decimal | None = None,
    actor: str | None = None,
    correlation_id: str | None = None,
    detail: object = None,
) -> int:
    """Record one KPI event.

    Args:
        db: The session whose transaction decides over a success or a value; None to record at once.
        domain: The part of the business, at most 32 characters.
        metric: What happened, at most 64 characters.
        success: True, False, or None where there is no such thing.
        value: A finite number, or None.
        actor: Who did it, at most 64 characters.
        correlation_id: What it belongs to, at most 128 characters; by default the id in force.
        detail: Anything more; secrets under telling keys are redacted.

    Returns:
        The event's id.

    Raises:
        InvalidEvent: An argument cannot be part of a KPI event.
        SpoolFull: The spool is full and the policy is `raise`.
    """
    return _emit.emit(
        db, domain, metric, check_success(success), check_value(value), actor, correlation_id, detail
    )


def kpi_success(
    db: "Db",
    domain: str,
    metric: str,
    actor: str | None = None,
    correlation_id: str | None = None,
    detail: object = None,
) -> int:
    """Record that something succeeded; arguments, result and errors as for `emit_kpi`."""
    return _emit.emit(db, domain, metric, True, None, actor, correlation_id, detail)


def kpi_fail(
    db: "Db",
    domain: str,
    metric: str,
    actor: str | None = None,
    correlation_id: str | None = None,
    detail: object = None,
) -> int:
    """Record that something failed, whatever becomes of the transaction; otherwise as `emit_kpi`."""
    return _emit.emit(db, domain, metric, False, None, actor, correlation_id, detail)


def kpi_value(
    db: "Db",
    domain: str,
    metric: str,
    value: float | Decimal,
    actor: str | None = None,
    correlation_id: str | None = None,
    detail: object = None,
) -> int:
    """Record a number; otherwise as `emit_kpi`."""
    number = check_value(value)
    if number is None:
        raise InvalidEvent("value", "a finite number", "None")
    return _emit.emit(db, domain, metric, None, number, actor, correlation_id, detail)
