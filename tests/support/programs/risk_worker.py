"""Reserves and settles at random for some seconds; its day lasts two seconds, and its clock is off by some of them.

python risk_worker.py URL SEED BEGAN SECONDS
"""

import datetime as dt
import json
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from golive import database
from golive.errors import NotReserved, ReservationClosed, RiskDenied
from golive.risk import Reservation, risk_refund, risk_release, risk_reserve_or_raise, risk_settle
from tests.support.risk import tell_time

HOURS_A_SECOND = 12


class Worker:
    def __init__(self, url: str, seed: int, began: float) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.engine = create_engine(database.normalise_url(url), connect_args=waiting(url))
        self.counts: Counter[str] = Counter()
        self.reserved: list[Reservation] = []
        skew = dt.timedelta(minutes=self.random.uniform(-20, 20))
        start = dt.datetime(2026, 3, 28, tzinfo=dt.UTC) + skew
        tell_time(
            pytest.MonkeyPatch(), lambda: start + dt.timedelta(hours=HOURS_A_SECOND * (time.time() - began))
        )

    def act(self) -> None:
        choice = self.random.random()
        try:
            if choice < 0.5 or not self.reserved:
                self.reserve()
            elif choice < 0.85:
                self.settle()
            elif choice < 0.95:
                risk_release(self.url, self.reserved.pop().id)
                self.counts["released"] += 1
            else:
                risk_release(self.url, self.random.choice(self.reserved).id)
        except RiskDenied as denial:
            self.counts[f"denied {denial.policy} {denial.reason}"] += 1
        except (NotReserved, ReservationClosed) as error:
            self.counts[type(error).__name__] += 1

    def reserve(self) -> None:
        engine = self.random.choice(["WHOLESALE", "CAPITAL"])
        amount = Decimal(self.random.randrange(1, 2500)).scaleb(-2)
        arguments: dict[str, Any] = {"expires_in_s": self.random.choice([600.0, 36000.0])}
        if self.random.random() < 0.5:
            self.reserved.append(risk_reserve_or_raise(self.url, engine, amount, **arguments))
            self.counts["reserved"] += 1
            return
        with Session(self.engine) as db:
            made = [risk_reserve_or_raise(db, engine, amount, **arguments)]
            if self.random.random() < 0.3:
                made.append(risk_reserve_or_raise(db, self.random.choice(["WHOLESALE", "CAPITAL"]), amount))
            if self.random.random() < 0.3:
                db.rollback()
                self.counts["rolled back"] += len(made)
            else:
                db.commit()
                self.reserved += made
                self.counts["reserved"] += len(made)

    def settle(self) -> None:
        made = self.reserved.pop(self.random.randrange(len(self.reserved)))
        loss = Decimal(self.random.randrange(0, 20)).scaleb(-2)
        exact = self.random.random() < 0.7
        with Session(self.engine) as db:
            settled = risk_settle(
                db, made.engine, made.amount, loss, reservation_id=made.id if exact else None
            )
            db.commit()
        self.counts["settled"] += 1
        if loss and self.random.random() < 0.2:
            risk_refund(self.url, settled.id, loss)
            self.counts["refunded"] += 1


def waiting(url: str) -> dict[str, float]:
    return {"timeout": 30.0} if url.startswith("sqlite") else {}


def main() -> None:
    url, seed, began, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    worker = Worker(url, seed, began)
    until = time.monotonic() + seconds  # from now: a busy machine takes seconds to come here
    while time.monotonic() < until:
        worker.act()
    print(json.dumps(worker.counts))


if __name__ == "__main__":
    main()
