"""Correlation ids: one id for every action of a deal, across functions and services (E9).

    from golive.correlation import correlation

    with correlation("deal_123"):
        kpi_success(db, "WHOLESALE", "offer_sent")   # carries deal_123
        httpx.post(url, headers=outgoing_headers())  # and so does the next service

The id travels as an entry of OpenTelemetry Baggage, so every propagator and instrumentation passes it on.
"""

import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context

from golive import names
from golive.errors import InvalidEvent
from golive.events import check_correlation_id

__all__ = [
    "correlation",
    "current_correlation_id",
    "current_trace_id",
    "new_correlation_id",
    "outgoing_headers",
]


def new_correlation_id() -> str:
    """Return a fresh id, 32 hexadecimal digits."""
    return uuid.uuid4().hex


def current_correlation_id(in_context: Context | None = None) -> str | None:
    """Return the correlation id in force, or None; what else a caller has put into the baggage is no id."""
    return incoming_correlation_id(baggage.get_baggage(names.CORRELATION_ID, in_context))


def current_trace_id() -> str | None:
    """Return the trace id in force, 32 hexadecimal digits, or None."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else None


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
    stamp_spans_of(trace.get_tracer_provider())
    return baggage.set_baggage(names.CORRELATION_ID, correlation_id, in_context)


def incoming_correlation_id(text: object) -> str | None:
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


class CorrelationSpanProcessor:
    """Gives every span started inside a correlation its `golive.correlation_id`.

    An OpenTelemetry `SpanProcessor` by its methods: a correlation travels without the SDK, too.
    """

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Called on the thread that starts the span."""
        correlation_id = current_correlation_id(parent_context)
        if correlation_id is not None:
            span.set_attribute(names.CORRELATION_ID, correlation_id)

    def _on_ending(self, span: Any) -> None:
        pass

    def on_end(self, span: Any) -> None:
        """Nothing to do."""

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing to do."""
        return True


_lock = threading.RLock()  # a signal handler may meet a correlation as well
_stamped: "weakref.WeakSet[trace.TracerProvider]" = weakref.WeakSet()


def stamp_spans_of(provider: trace.TracerProvider) -> None:
    """Let a provider's spans carry the correlation id from now on; without the SDK there are none.

    Done when the first correlation is met, so that an application without any pays nothing for it.
    """
    if provider in _stamped or not hasattr(provider, "add_span_processor"):
        return
    with _lock:
        if provider in _stamped:
            return
        _stamped.add(provider)
    provider.add_span_processor(CorrelationSpanProcessor())
