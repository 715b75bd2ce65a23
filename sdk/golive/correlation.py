"""Correlation ids: one id for every action of a deal, across functions and services (E9).

    from golive.correlation import correlation

    with correlation("deal_123"):
        kpi_success(db, "WHOLESALE", "offer_sent")   # carries deal_123
        httpx.post(url, headers=outgoing_headers())  # and so does the next service

The id travels as an entry of OpenTelemetry Baggage, so every propagator and instrumentation passes it on.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import baggage, context, propagate
from opentelemetry.context import Context

from golive import names
from golive.errors import InvalidEvent
from golive.events import check_correlation_id

__all__ = ["correlation", "current_correlation_id", "new_correlation_id", "outgoing_headers"]


def new_correlation_id() -> str:
    """Return a fresh id, 32 hexadecimal digits."""
    return uuid.uuid4().hex


def current_correlation_id(in_context: Context | None = None) -> str | None:
    """Return the correlation id in force, or None."""
    value = baggage.get_baggage(names.CORRELATION_ID, in_context)
    return value if isinstance(value, str) else None


@contextmanager
def correlation(correlation_id: str | None = None) -> Iterator[str]:
    """Put a correlation id in force for the extent of a `with` block or a decorated function.

    Args:
        correlation_id: 1 to 128 printable characters; None or empty makes a fresh one.

    Yields:
        The id in force.

    Raises:
        InvalidEvent: The id is too long, unprintable or not a string.
    """
    checked = check_correlation_id(correlation_id) or new_correlation_id()
    token = context.attach(with_correlation(checked))
    try:
        yield checked
    finally:
        context.detach(token)


def with_correlation(correlation_id: str, in_context: Context | None = None) -> Context:
    """Return a context that carries the id; the current one stays as it is."""
    return baggage.set_baggage(names.CORRELATION_ID, correlation_id, in_context)


def incoming_correlation_id(text: str | None) -> str | None:
    """Return an id that came from outside if it is one to trust: 1 to 128 printable characters."""
    try:
        return check_correlation_id(text)
    except InvalidEvent:
        return None


def outgoing_headers() -> dict[str, str]:
    """Return the HTTP headers (`traceparent`, `baggage`) that pass trace and correlation id on.

    Only for clients without an OpenTelemetry instrumentation, which adds them by itself.
    """
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
