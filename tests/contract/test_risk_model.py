"""The guard does what a simple model of it does, whatever is asked in whatever order, and killed at any step."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import event
from sqlalchemy.orm import Session

from golive import database, governance
from golive.errors import RiskDenied
from golive.risk import (
    GLOBAL,
    Reservation,
    books,
    risk_refund,
    risk_release,
    risk_reserve_or_raise,
    risk_settle,
    upsert_policy,
)
from tests.support.risk import tell_time

ENGINES = ["WHOLESALE", "CAPITAL"]
NO_CAP = Decimal(10**12)


class Killed(BaseException):
    """Strikes before a statement."""


@dataclass
class Asked:
    """What the model knows of a reservation."""

    engine: str
    day: dt.date
    amount: Decimal
    expires_at: dt.datetime
    open: bool = True
    loss: Decimal | None = None


@dataclass
class Model:
    """Caps, and what is used of them."""

    caps: dict[str, tuple[Decimal, Decimal, Decimal, int]] = field(default_factory=dict)
    exposure: dict[tuple[str, dt.date], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    loss: dict[tuple[str, dt.date], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    actions: dict[tuple[str, dt.date], int] = field(default_factory=lambda: defaultdict(int))
    denials: dict[tuple[str, dt.date], int] = field(default_factory=lambda: defaultdict(int))
    reservations: dict[int, Asked] = field(default_factory=dict)

    def open_risk(self, engine: str, now: dt.datetime) -> Decimal:
        return sum(
            (
                asked.amount
                for asked in self.reservations.values()
                if engine in (GLOBAL, asked.engine) and asked.open and asked.expires_at > now
            ),
            Decimal(0),
        )

    def denies(self, engine: str, amount: Decimal, now: dt.datetime) -> tuple[str, str] | None:
        for whose in (GLOBAL, engine):
            loss, exposure, open_risk, actions = self.caps[whose]
            key = (whose, now.date())
            if self.loss[key] >= loss:
                return whose, "max_daily_loss"
            if self.exposure[key] + amount > exposure:
                return whose, "max_daily_exposure"
            if self.open_risk(whose, now) + amount > open_risk:
                return whose, "max_open_risk"
            if self.actions[key] + 1 > actions:
                return whose, "max_actions_per_day"
        return None

    def book(self, made: Reservation) -> None:
        assert made.expires_at is not None
        self.reservations[made.id] = Asked(made.engine, made.day, made.amount, made.expires_at)
        for whose in (GLOBAL, made.engine):
            self.exposure[whose, made.day] += made.amount
            self.actions[whose, made.day] += 1


amounts = st.integers(0, 300_00).map(lambda cents: Decimal(cents).scaleb(-2))


class Guard(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'risk.db'}"
        database.upgrade(database.normalise_url(self.url))
        self.engine = governance.engine_for(self.url)
        self.now = dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)
        self.patch = pytest.MonkeyPatch()
        tell_time(self.patch, lambda: self.now)
        self.left: int | None = None
        event.listen(self.engine, "before_cursor_execute", self.strike)
        self.model = Model()
        for engine in (GLOBAL, *ENGINES):
            self.set_caps(engine, Decimal(100), Decimal(1000), Decimal(500), 20)

    def teardown(self) -> None:
        self.patch.undo()
        self.engine.dispose()
        self.folder.cleanup()

    def strike(self, *_: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed

    def set_caps(
        self, engine: str, loss: Decimal, exposure: Decimal | None, open_risk: Decimal, actions: int
    ) -> None:
        upsert_policy(
            self.url,
            engine=engine,
            enabled=True,
            max_daily_loss=loss,
            max_daily_exposure=exposure,
            max_open_risk=open_risk,
            max_actions_per_day=actions,
            actor="test",
            reason="test",
        )
        self.model.caps[engine] = (loss, NO_CAP if exposure is None else exposure, open_risk, actions)

    @rule(
        engine=st.sampled_from([GLOBAL, *ENGINES]),
        loss=amounts,
        exposure=st.none() | amounts,
        open_risk=amounts,
        actions=st.integers(0, 9),
    )
    def change_caps(
        self, engine: str, loss: Decimal, exposure: Decimal | None, open_risk: Decimal, actions: int
    ) -> None:
        self.set_caps(engine, loss, exposure, open_risk, actions)

    @rule(minutes=st.integers(1, 2000))
    def time_passes(self, minutes: int) -> None:
        self.now += dt.timedelta(minutes=minutes)

    @rule(
        engine=st.sampled_from(ENGINES),
        amount=amounts,
        expires_in_s=st.integers(60, 100_000),
        killed_at=st.none() | st.integers(0, 25),
    )
    def reserve(self, engine: str, amount: Decimal, expires_in_s: int, killed_at: int | None) -> None:
        expected = self.model.denies(engine, amount, self.now)
        self.left = killed_at
        try:
            made = risk_reserve_or_raise(self.url, engine, amount, expires_in_s=expires_in_s)
        except RiskDenied as error:
            self.check_denial(error, expected)
            recorded = self.left is not None or killed_at is None
            for whose in (GLOBAL, engine) if recorded else ():
                self.model.denials[whose, self.now.date()] += 1
        except Killed:
            # A denial that was killed may have been recorded or not, but never by half: ask.
            self.learn_denials()
        else:
            assert expected is None
            self.model.book(made)
        self.left = None

    @rule(
        engine=st.sampled_from(ENGINES),
        amounts=st.lists(amounts, min_size=1, max_size=3),
        commit=st.booleans(),
    )
    def reserve_in_a_transaction(self, engine: str, amounts: list[Decimal], commit: bool) -> None:
        made, denied = [], 0
        with Session(self.engine) as db:
            for amount in amounts:
                try:
                    made.append(risk_reserve_or_raise(db, engine, amount, expires_in_s=3600))
                except RiskDenied:
                    denied += 1
            if commit:
                db.commit()
        for whose in (GLOBAL, engine) if denied else ():
            self.model.denials[whose, self.now.date()] += denied
        for reservation in made if commit else ():
            assert self.model.denies(engine, reservation.amount, self.now) is None
            self.model.book(reservation)

    @precondition(lambda self: self.model.reservations)
    @rule(data=st.data(), loss=amounts, killed_at=st.none() | st.integers(0, 12))
    def settle(self, data: st.DataObject, loss: Decimal, killed_at: int | None) -> None:
        number, asked = self.pick(data, lambda asked: asked.loss is None)
        if asked is None:
            return
        self.left = killed_at
        try:
            risk_settle(self.url, asked.engine, asked.amount, loss, reservation_id=number)
        except Killed:
            return
        finally:
            self.left = None
        asked.open, asked.loss = False, loss
        for whose in (GLOBAL, asked.engine):
            self.model.loss[whose, asked.day] += loss

    @precondition(lambda self: self.model.reservations)
    @rule(data=st.data(), killed_at=st.none() | st.integers(0, 12))
    def release(self, data: st.DataObject, killed_at: int | None) -> None:
        number, asked = self.pick(data, lambda asked: asked.loss is None)
        if asked is None:
            return
        self.left = killed_at
        try:
            risk_release(self.url, number)
        except Killed:
            return
        finally:
            self.left = None
        del self.model.reservations[number]
        for whose in (GLOBAL, asked.engine):
            self.model.exposure[whose, asked.day] -= asked.amount
            self.model.actions[whose, asked.day] -= 1

    @precondition(lambda self: self.model.reservations)
    @rule(data=st.data(), share=st.integers(1, 100), killed_at=st.none() | st.integers(0, 12))
    def refund(self, data: st.DataObject, share: int, killed_at: int | None) -> None:
        number, asked = self.pick(data, lambda asked: bool(asked.loss))
        if asked is None or asked.loss is None:
            return
        back = max((asked.loss * share / 100).quantize(Decimal("0.01")), Decimal("0.01"))
        self.left = killed_at
        try:
            risk_refund(self.url, number, back)
        except Killed:
            return
        finally:
            self.left = None
        asked.loss -= back
        for whose in (GLOBAL, asked.engine):
            self.model.loss[whose, asked.day] -= back

    @invariant()
    def the_ledgers_are_as_the_model_has_them(self) -> None:
        with governance.reading(self.url) as connection:
            found = {book.engine: book.ledger for book in books(connection, self.now)}
        for engine in (GLOBAL, *ENGINES):
            ledger, key = found[engine], (engine, self.now.date())
            assert ledger.day == self.now.date()
            assert ledger.exposure_used == self.model.exposure[key]
            assert ledger.realized_loss == self.model.loss[key]
            assert ledger.actions_count == self.model.actions[key]
            assert ledger.denials == self.model.denials[key]
            assert ledger.open_risk_reserved == self.model.open_risk(engine, self.now)

    def check_denial(self, error: RiskDenied, expected: tuple[str, str] | None) -> None:
        assert expected == (error.policy, error.reason)

    def learn_denials(self) -> None:
        with governance.reading(self.url) as connection:
            found = {book.engine: book.ledger for book in books(connection, self.now)}
        key = self.now.date()
        more = [found[engine].denials - self.model.denials[engine, key] for engine in (GLOBAL, *ENGINES)]
        assert more[0] == sum(more[1:]) <= 1
        for engine in (GLOBAL, *ENGINES):
            self.model.denials[engine, key] = found[engine].denials

    def pick(self, data: st.DataObject, wanted: Any) -> tuple[int, Asked | None]:
        numbers = sorted(number for number, asked in self.model.reservations.items() if wanted(asked))
        if not numbers:
            return 0, None
        number = data.draw(st.sampled_from(numbers))
        return number, self.model.reservations[number]


TestGuard = Guard.TestCase
TestGuard.settings = settings(
    max_examples=50,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking an example takes many minutes
    suppress_health_check=list(HealthCheck),
)
