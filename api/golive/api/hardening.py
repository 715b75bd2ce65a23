"""What stands around every answer of the service: for which host it is asked, and how browsers take it."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from golive.api.problems import Problem

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Of an answer that says nothing else: it is data, and no page."""


class HardeningMiddleware:
    """Refuses requests for another host, and adds the headers.

    A site whose name is led to this machine's loopback address reads whatever a browser here may read without
    a token; its requests bear its own name.

    Args:
        app: The application.
        hosts: The names it answers to; any if there are none.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self.app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if self._hosts and _host_of(scope) not in self._hosts:
            refused = Problem(421, "Another host", "GOLIVE_HOSTS does not name the host that is asked for.")
            await refused.response()(scope, receive, answer)
        else:
            await self.app(scope, receive, answer)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address reaches this machine, and no other."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(scope: Scope) -> str | None:
    try:
        return urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname
    except ValueError:
        return None
