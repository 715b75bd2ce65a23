"""Who brings events while many do: so many are under way at once, and one waits so long for its turn.

What is more than that is told at once to come again, instead of being kept waiting until it gives up: what
waits takes memory, and a sender that has given up sends the same again.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from golive.api.problems import Problem

UNDER_WAY: Final = 64
"""Requests of a kind that a process takes on at once; 500 events keep it busy for 20 to 50 ms."""
WAIT_S: Final = 5.0
"""How long one of them waits for its turn; OTLP's senders give up after 10 s."""

T = TypeVar("T")


class Turns:
    """Bounds one kind of request in this process.

    Args:
        at_once: How many are worked on at the same time, in threads of their own.
        under_way: How many are taken on, from the end of the body to the answer.
        wait_s: How long each waits for its turn, in seconds.
    """

    def __init__(self, at_once: int, under_way: int = UNDER_WAY, wait_s: float = WAIT_S) -> None:
        self._threads = anyio.CapacityLimiter(at_once)
        self._turns = anyio.Semaphore(at_once)
        self.room = under_way
        """How many more are taken on."""
        self._wait_s = wait_s

    @contextmanager
    def taken_on(self) -> Iterator[None]:
        """Keep room for a request, whose body has come, until the end of the block.

        Raises:
            Problem: 503 if there is none.
        """
        if self.room <= 0:
            raise busy()
        self.room -= 1
        try:
            yield
        finally:
            self.room += 1

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, in a thread, once it is its turn.

        Raises:
            Problem: 503 if that does not come in time; the work was not begun.
        """
        try:
            with anyio.fail_after(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise busy() from None
        # Apart from the request, which may be cancelled: its thread works on, and keeps the turn.
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(work)))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._threads)
        finally:
            self._turns.release()


def busy() -> Problem:
    """Return the refusal of what is too much just now."""
    detail = "More events come in than this process can take. Nothing of this request was recorded."
    return Problem(503, "Too busy", detail, {"Retry-After": "2"})
