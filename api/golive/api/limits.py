"""Bounds of what a client may send: how much, of which kind, how slowly, and how often."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.types import Message

from golive.api.problems import Problem
from golive.settings import ServiceSettings

FORM = "application/x-www-form-urlencoded"
BODY_TIMEOUT_S = 10.0
"""How long a body may take to come."""
FAILURES_PER_MINUTE = 30
"""Unknown credentials from one address; more are refused unread."""
_CLOCK_SET_S = 1.0
"""The clocks of the day and of intervals part by so much only where one of them is set."""


class Limits:
    """The bounds of one service, counted in this process."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.max_body_bytes = settings.max_body_bytes
        self._requests = RateLimitItemPerMinute(settings.requests_per_minute)
        self._failures = RateLimitItemPerMinute(FAILURES_PER_MINUTE)
        self._counted = FixedWindowRateLimiter(MemoryStorage())
        self._clock_ahead_s = time.time() - time.monotonic()

    def admit(self, client: str) -> None:
        """Count a request of a client; raises a 429 `Problem` if that is one too many."""
        if not self._limiter.hit(self._requests, "request", client):
            raise self._too_many(self._requests, "request", client)

    def admit_credential(self, address: str) -> None:
        """Raise a 429 `Problem` if this address has shown too many unknown credentials."""
        if not self._limiter.test(self._failures, "failure", address):
            raise self._too_many(self._failures, "failure", address)

    def note_failure(self, address: str) -> None:
        """Count an unknown credential."""
        self._limiter.hit(self._failures, "failure", address)

    def bound_body(self, request: Request, form: bool = False) -> Request:
        """Return the request with a body that has to come in time, within its bound, and as JSON or a form.

        Raises:
            Problem: 413 or 415 if its headers tell already; 408 or 413 when the body is read.
        """
        bounded = self.bound_size(request)
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            media_type = media_type_of(request)
            if form and media_type != FORM:
                raise Problem(415, "The body is no form", f"Send it with Content-Type: {FORM}.")
            if not form and media_type != "application/json" and not media_type.endswith("+json"):
                raise Problem(415, "The body is no JSON", "Send it with Content-Type: application/json.")
        return bounded

    def bound_size(self, request: Request) -> Request:
        """Return the request with a body that has to come in time and within its bound.

        Raises:
            Problem: 413 if its headers tell already; 408 or 413 when the body is read.
        """
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self.max_body_bytes:
            raise self.too_large()
        return Request(request.scope, self._bounded(request.receive))

    def _bounded(self, receive: Callable[[], Awaitable[Message]]) -> Callable[[], Awaitable[Message]]:
        deadline = time.monotonic() + BODY_TIMEOUT_S
        size, complete = 0, False

        async def bounded() -> Message:
            nonlocal size, complete
            if complete:  # what comes now is the client's end, for which a handler may wait
                return await receive()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise Problem(408, "The body came too slowly", headers={"Connection": "close"}) from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > self.max_body_bytes:
                raise self.too_large()
            return message

        return bounded

    def too_large(self) -> Problem:
        """Return the refusal of a body that is over its bound."""
        detail = f"At most {self.max_body_bytes} bytes are read."
        return Problem(413, "The body is too large", detail, {"Connection": "close"})

    @property
    def _limiter(self) -> FixedWindowRateLimiter:
        """The counts, begun anew where the clock was set: back by an hour, a minute would last so long."""
        ahead_s = time.time() - time.monotonic()
        if abs(ahead_s - self._clock_ahead_s) > _CLOCK_SET_S:
            self._clock_ahead_s = ahead_s
            self._counted = FixedWindowRateLimiter(MemoryStorage())
        return self._counted

    def _too_many(self, limit: RateLimitItem, *identifiers: str) -> Problem:
        reset = self._limiter.get_window_stats(limit, *identifiers).reset_time
        wait_s = max(int(reset - time.time()) + 1, 1)
        return Problem(429, "Too many requests", f"Try again in {wait_s} s.", {"Retry-After": str(wait_s)})


def media_type_of(request: Request) -> str:
    """Return the media type of the body, without its parameters; empty if none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
