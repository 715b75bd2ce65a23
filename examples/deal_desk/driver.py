"""Sends deals to the desk over HTTP, and keeps its own account of what became of each."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import httpx
from examples.deal_desk.service import DESK, LARGE_CENTS
from opentelemetry import trace

from golive.correlation import outgoing_headers
from golive.names import CORRELATION_HEADER

ACCEPTED: Final = "accepted"
DECLINED: Final = "declined by the buyer"
DENIED: Final = "denied by the risk guard"
NOT_ELIGIBLE: Final = "rolled back: refused by the charter"
CRASHED: Final = "rolled back: counterparty hung up"
DUPLICATE: Final = "rolled back: reference used before"
HALTED: Final = "rolled back: halted before the commit"
TIMED_OUT: Final = "cancelled: no quote in time"

_BY_CODE = {"risk_denied": DENIED, "not_eligible": NOT_ELIGIBLE}
_BY_STATUS = {409: DUPLICATE, 502: CRASHED, 503: HALTED, 504: TIMED_OUT}
_COUNTERPARTIES = {"steady": 70, "declines": 12, "crashes": 5, "halts": 4, "slow": 3, "doubtful": 4}

Key = tuple[str, str, bool | None]
"""Domain, metric and success of a row."""


class Driver:
    """Sends deals, a few at a time; deal n carries the correlation id `deal_<n>`.

    Attributes:
        outcomes: How many deals had each outcome.
        deals: What became of each deal, by its correlation id.
    """

    def __init__(self, url: str, seed: int = 1) -> None:
        self.outcomes: Counter[str] = Counter()
        self.deals: dict[str, str] = {}
        self._url = url
        self._random = random.Random(seed)
        self._tracer = trace.get_tracer("deal-driver")

    async def run(self, deals: int, seconds: float, progress: Callable[[], object] = lambda: None) -> None:
        """Send deals for so many seconds, spread evenly; call `progress` after each."""
        limits = asyncio.Semaphore(8)
        started = time.monotonic()
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as client, asyncio.TaskGroup() as group:

            async def send(number: int) -> None:
                async with limits:
                    await self._send(client, number)
                progress()

            for number in range(1, deals + 1):
                await asyncio.sleep(started + seconds * number / deals - time.monotonic())
                group.create_task(send(number))

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        correlation_id = f"deal_{number}"
        order = self._order(number)
        # An OpenTelemetry instrumentation of httpx would make this span and these headers by itself.
        with self._tracer.start_as_current_span("deal"):
            headers = {**outgoing_headers(), CORRELATION_HEADER: correlation_id}
            answer = await client.post("/deals", json=order, headers=headers)
        if answer.status_code == 200:
            outcome = ACCEPTED if answer.json()["accepted"] else DECLINED
        elif answer.status_code == 403:
            outcome = _BY_CODE[answer.json()["detail"]["code"]]
        else:
            outcome = _BY_STATUS[answer.status_code]
        self.outcomes[outcome] += 1
        self.deals[correlation_id] = outcome

    def _order(self, number: int) -> dict[str, object]:
        [counterparty] = self._random.choices(list(_COUNTERPARTIES), list(_COUNTERPARTIES.values()))
        amount = self._random.randrange(100_00, LARGE_CENTS // 10)
        reference = f"order-{number}"
        if counterparty == "steady" and number > 20:
            what = self._random.random()
            if what < 0.06:
                amount = LARGE_CENTS + 1
            elif what < 0.12:
                booked = (deal for deal, outcome in self.deals.items() if outcome == ACCEPTED)
                reference = f"order-{next(booked).removeprefix('deal_')}"
        return {"reference": reference, "amount_cents": amount, "counterparty": counterparty}


def expected_rows(outcomes: Counter[str]) -> dict[Key, int]:
    """Return how many rows of each kind these outcomes must have left, and no others (E1)."""
    made = outcomes[ACCEPTED] + outcomes[DECLINED]
    expected: dict[Key, int] = {
        ("PRICING", "quote", True): outcomes.total() - outcomes[TIMED_OUT],
        ("PRICING", "quote", None): outcomes[TIMED_OUT],
        (DESK, "risk_reserved", True): made,
        (DESK, "risk_denied", False): outcomes[DENIED],
        (DESK, "recommendation", True): made,
        (DESK, "recommendation", False): outcomes[NOT_ELIGIBLE],
        (DESK, "action_executed", True): made,
        # The transaction is gone, the failure is not.
        (DESK, "action_executed", False): outcomes[CRASHED] + outcomes[DUPLICATE],
        (DESK, "risk_settled", True): made,
        (DESK, "outcome_success", True): outcomes[ACCEPTED],
        (DESK, "profit", None): outcomes[ACCEPTED],
        (DESK, "outcome_failed", False): outcomes[DECLINED],
    }
    return {key: count for key, count in expected.items() if count}
