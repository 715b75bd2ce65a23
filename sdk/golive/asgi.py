"""ASGI middleware: takes the correlation id of a request, and delivers what is left when the server stops.

app.add_middleware(CorrelationMiddleware)      # FastAPI, Starlette
app = CorrelationMiddleware(app)               # any ASGI application
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from golive import names, pipeline
from golive.correlation import (
    incoming_correlation_id,
    new_correlation_id,
    with_correlation,
)

__all__ = ["CorrelationMiddleware"]

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_BAGGAGE = W3CBaggagePropagator()
_HEADER = names.CORRELATION_HEADER.lower().encode()


class CorrelationMiddleware:
    """Puts a request's correlation id in force, and answers with it in `X-Correlation-ID`.

    The id comes from W3C baggage, else from `X-Correlation-ID`, else it is fresh. One that is over 128
    characters or unprintable is replaced by a fresh one, with a warning in the log. At the server's shutdown
    the pipeline is shut down, which delivers what is left: uvicorn ends with a raw SIGTERM, and exit
    handlers have no turn.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, _flushing_at_shutdown(send))
        elif scope["type"] in ("http", "websocket"):
            await self._with_correlation(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _with_correlation(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        extracted = propagate.extract(headers, getter=_HEADERS)
        correlation_id = _correlation_id(_in_baggage(extracted), _header(headers, _HEADER))
        # An instrumentation around this middleware has already made the request's span current: keep it.
        span = trace.get_current_span()
        traced = span.get_span_context().is_valid
        correlated = with_correlation(correlation_id, context.get_current() if traced else extracted)
        span.set_attribute(names.CORRELATION_ID, correlation_id)
        token = context.attach(correlated)
        try:
            await self.app(_with_baggage(scope, correlated), receive, _answering_with(correlation_id, send))
        finally:
            context.detach(token)


def _with_baggage(scope: Scope, correlated: Context) -> Scope:
    """Return the scope with the id in its baggage header: FastAPI, for one, reads the headers once more."""
    carrier: dict[str, str] = {}
    _BAGGAGE.inject(carrier, correlated)
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"baggage"]
    added = [(name.encode(), value.encode("latin-1")) for name, value in carrier.items()]
    return {**scope, "headers": others + added}


def _in_baggage(extracted: Context) -> str | None:
    value = baggage.get_baggage(names.CORRELATION_ID, extracted)
    return value if isinstance(value, str) else None


def _correlation_id(from_baggage: str | None, from_header: str | None) -> str:
    for given in (from_baggage, from_header):
        if given:
            accepted = incoming_correlation_id(given)
            if accepted:
                return accepted
            _log.warning(
                "an incoming correlation id of %d characters was replaced: %.80s", len(given), ascii(given)
            )
    return new_correlation_id()


def _answering_with(correlation_id: str, send: Send) -> Send:
    # Header values are bytes of one line: an id outside ASCII came by baggage, which escapes it.
    value = correlation_id.encode("ascii", "backslashreplace")

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (_HEADER, value)]}
        await send(message)

    return answer


def _flushing_at_shutdown(send: Send) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await asyncio.to_thread(pipeline.shutdown)
        await send(message)

    return answer


def _header(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return None


class _HeaderGetter(Getter[list[tuple[bytes, bytes]]]):
    """Reads ASGI headers for OpenTelemetry's propagators; repeated `baggage` headers are all read."""

    def get(self, carrier: list[tuple[bytes, bytes]], key: str) -> list[str] | None:
        name = key.lower().encode()
        return [value.decode("latin-1") for header, value in carrier if header.lower() == name] or None

    def keys(self, carrier: list[tuple[bytes, bytes]]) -> list[str]:
        return [header.decode("latin-1") for header, _ in carrier]


_HEADERS = _HeaderGetter()
