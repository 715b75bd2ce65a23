"""The connections of `golive serve`."""

import asyncio
import socket
from typing import TYPE_CHECKING

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    _Protocol = asyncio.Protocol
else:
    _Protocol = AutoHTTPProtocol  # whichever is installed

__all__ = ["PromptConnection"]


class PromptConnection(_Protocol):
    """uvicorn's own, that sends each part of an answer at once.

    asyncio sees to that only where a socket names TCP, which the one that several workers share does not.
    Without it the second part of an answer waits 40 ms for the client to acknowledge the first.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection."""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
