"""A small fleet: some children of each role, which emit, deal, book, send and operate until they are killed.

    fleet.py FOLDER SEED URL ROLE=COUNT…

Who dies is followed by a next life. What was acknowledged to a life stands in FOLDER/told/<role>-<life>.<part>,
a line of JSON each. While FOLDER/paused is there, everybody is asked to end (SIGTERM), and FOLDER/quiet says
that they have. What a child raised is in FOLDER/crashed. Ends with its standard input.

Children are forked, because a fresh interpreter needs longer to import than a child lives.
"""

import itertools
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

# Imported before the forks, or every child would.
import httpx
import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

import golive._pipeline
import golive.exporters.sql  # noqa: F401
from golive import database, go_live, governance, pipeline, regression
from golive.api.otlp.bodies import JSON, PROTOBUF
from golive.errors import NotTripped, ProductionRefused, SpoolFull
from golive.kpi import kpi_fail, kpi_success, kpi_value
from golive.production import require_production
from golive.risk import (
    GLOBAL,
    RiskDenied,
    policies,
    risk_release,
    risk_reserve_or_raise,
    risk_settle,
    upsert_policy,
)
from tests.support import skew
from tests.support.otlp import encoded, post, record
from tests.support.programs.emitting import emit_one

RESERVED_FOR_S = 15.0
NOTES_MAX_BYTES = 3000
ENGAGE = "kill_switch.engage"
TURN_S = 30.0
BATCHES = "/api/governance/regression/kpi"


class Life:
    """One child's: its name, its dice, and what it was told.

    Times are those of `time.monotonic`, which all processes of a machine share.
    """

    def __init__(self, folder: Path, role: str, number: int, seed: str, url: str) -> None:
        self.name = f"{role}-{number}"
        self.random = random.Random(f"{seed}-{self.name}")
        self.url = url
        self.folder = folder
        self._parts = itertools.count()
        self._file, self._size = -1, NOTES_MAX_BYTES

    def note(self, *words: object) -> None:
        line = json.dumps(words).encode() + b"\n"
        if self._size + len(line) > NOTES_MAX_BYTES:
            # Small files, for those of the spool are limited at times, and these with them.
            if self._file >= 0:
                os.close(self._file)
            name = f"{self.name}.{next(self._parts):04}"
            self._file, self._size = os.open(self.folder / "told" / name, os.O_WRONLY | os.O_CREAT), 0
        self._size += os.write(self._file, line)


def emit(life: Life) -> None:
    """Record events of every kind; a full spool is said, and the event is not there."""
    for number in itertools.count():
        correlation_id = f"{life.name}/{number}"
        with suppress(SpoolFull):
            life.note("event", correlation_id, emit_one("EMIT", number, correlation_id))
        if life.random.random() > 0.02:  # else a burst
            time.sleep(life.random.uniform(0.0, 0.02))


def deal(life: Life) -> None:
    """Make deals, each in a transaction with its events; some are called off."""
    engine = create_engine(database.normalise_url(life.url), pool_size=1)
    for number in itertools.count():
        name = f"{life.name}/{number}"
        time.sleep(life.random.uniform(0.0, 0.1))
        with suppress(SQLAlchemyError, SpoolFull), Session(engine) as session:
            session.execute(text("INSERT INTO deal VALUES (:deal)"), {"deal": name})
            kpi_success(session, "DEAL", "made", correlation_id=name)
            kpi_value(session, "DEAL", "price", number, correlation_id=name)
            event_id = kpi_fail(session, "DEAL", "denied", correlation_id=name)
            life.note("failure", name, event_id)
            if life.random.random() < 0.2:
                session.rollback()
                life.note("called off", name)
            else:
                session.commit()
                life.note("deal", name)


def book(life: Life) -> None:
    """Reserve, and settle or release, over and over until each is answered; only while production may act."""
    for number in itertools.count():
        time.sleep(life.random.uniform(0.0, 0.1))
        engine = life.random.choice(["WHOLESALE", "CAPITAL"])
        amount = Decimal(life.random.randrange(1, 2500)).scaleb(-2)
        key = f"{life.name}/{number}"
        reserve = partial(
            risk_reserve_or_raise,
            life.url,
            engine,
            amount,
            idempotency_key=key,
            expires_in_s=RESERVED_FOR_S,
        )
        begun = time.monotonic()
        try:
            require_production(life.url)
            decided = time.monotonic()
        except ProductionRefused:
            continue
        try:
            made = reserve()
        except RiskDenied:
            continue
        except SQLAlchemyError as error:
            unless_a_cap_is_exceeded(error)
            # Production was asked for what may be booked already: the same key books it once.
            made, begun = again(reserve), -1.0
            if made is None:
                continue
        life.note("booked", made.id, engine, str(amount), key, begun, decided)
        choice = life.random.random()
        if choice < 0.03:
            continue  # forgotten: it expires
        life.note("closing", made.id)
        if choice < 0.4:
            again(partial(risk_release, life.url, made.id))
            life.note("released", made.id)
        else:
            loss = Decimal(life.random.randrange(0, 20)).scaleb(-2)
            again(partial(risk_settle, life.url, engine, amount, loss, reservation_id=made.id))
            life.note("settled", made.id, str(loss))


def again(call: Callable[[], Any]) -> Any:
    """Call until the database answers; return None where there is no room."""
    while True:
        try:
            return call()
        except RiskDenied:
            return None
        except SQLAlchemyError as error:
            unless_a_cap_is_exceeded(error)
            time.sleep(0.1)


def unless_a_cap_is_exceeded(error: SQLAlchemyError) -> None:
    """Raise the error again if it is the database's that golive has exceeded a cap, and no outage."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.errors.RaiseException):
        raise error


def send(life: Life) -> None:
    """Send batches to the service: by OTLP until it is acknowledged, and by its own route once."""
    with httpx.Client(
        base_url=os.environ["SERVICE"], timeout=10, trust_env=False,
        headers={"Authorization": f"Bearer {os.environ['SERVICE_TOKEN']}"},
    ) as client:  # fmt: skip
        for number in itertools.count():
            time.sleep(life.random.uniform(0.2, 0.6))
            names = [f"{life.name}/{number}/{each}" for each in range(10)]
            if number % 2:
                records = [record("SENT", "otlp", more={"golive.correlation_id": name}) for name in names]
                media_type = life.random.choice([JSON, PROTOBUF])
                body = encoded(media_type, records, life.name)
                while not answered(partial(post, client, media_type, body), 200):
                    time.sleep(0.2)
            else:
                events = [
                    {"domain": "SENT", "metric": "batch", "success": True, "correlation_id": name}
                    for name in names
                ]
                # Once: who sends such a batch again has it twice.
                if not answered(partial(client.post, BATCHES, json={"events": events}), 201):
                    continue
            life.note("sent", *names)


def answered(call: Callable[[], httpx.Response], status: int) -> bool:
    try:
        answer = call()
    except httpx.HTTPError:
        return False
    if answer.status_code in (status, 429, 500, 502, 503, 504, 507):
        return answer.status_code == status
    raise AssertionError(f"{answer.status_code} {answer.text}")


def operate(life: Life) -> None:
    """Engage and release the kill switch, and raise caps; each act has a reason of its own."""
    for number in itertools.count():
        choice = life.random.random()
        if choice < 0.3:
            act(life, "risk_policy.upsert", number, raise_a_cap)
        else:
            # Until it is engaged, and then released: nobody books in between.
            for action, call in (
                (ENGAGE, go_live.engage_kill_switch),
                ("kill_switch.release", go_live.release_kill_switch),
            ):
                for attempt in itertools.count():
                    if act(life, action, f"{number}.{attempt}", call):
                        break
                    time.sleep(0.1)
                time.sleep(life.random.uniform(0.3, 2.5 if action == ENGAGE else 1.0))
        time.sleep(life.random.uniform(0.5, 1.5))


def act(life: Life, action: str, number: object, call: Callable[..., Any]) -> bool:
    reason = f"{action} {life.name}/{number}"
    life.note("begun", action, reason, time.monotonic())
    with suppress(SQLAlchemyError):
        call(life.url, actor=life.name, reason=reason)
        life.note("done", action, reason, time.monotonic())
        return True
    return False


def fall(life: Life) -> None:
    """Do well and badly by turns, and re-arm the tripwires that act on it, some of them while it is bad."""
    look_at = 0.0
    for number in itertools.count():
        well = time.monotonic() % TURN_S > TURN_S / 3
        for metric in ("engine", "switch"):
            emitted = kpi_success if life.random.random() < (0.95 if well else 0.05) else kpi_fail
            with suppress(SpoolFull):
                emitted(None, "FALL", metric, correlation_id=f"{life.name}/{number}")
        time.sleep(0.02)
        if time.monotonic() > look_at:
            look_at = time.monotonic() + life.random.uniform(0.5, 3.0)
            with suppress(SQLAlchemyError, NotTripped):
                rearm_what_fell(life)


def rearm_what_fell(life: Life) -> None:
    with governance.reading(life.url) as connection:
        fallen = [each for each in regression.states(connection) if each.triggered and each.domain == "FALL"]
    for state in fallen:
        throttled = state.metric == "engine"
        regression.rearm(
            life.url, "FALL", state.metric, actor=life.name, reason="again", restore_throttle=throttled
        )


def raise_a_cap(url: str, actor: str, reason: str) -> None:
    with governance.reading(url) as connection:
        found = {policy.engine: policy for policy in policies(connection)}
    for engine in (GLOBAL, "WHOLESALE", "CAPITAL"):
        values = found[engine]._asdict()
        upsert_policy(
            url,
            engine=engine,
            enabled=True,
            max_daily_loss=values["max_daily_loss"],
            max_daily_exposure=values["max_daily_exposure"] + 1000,
            max_open_risk=values["max_open_risk"],
            max_actions_per_day=values["max_actions_per_day"] + 100,
            actor=actor,
            reason=reason,
        )


ROLES = {"emit": emit, "deal": deal, "book": book, "send": send, "operate": operate, "fall": fall}
IN_TIME = ("send", "fall")
"""Whose clock is right: a service refuses what comes from the future, and a fall is one in the order of time."""


class Fleet:
    def __init__(self, folder: Path, seed: str, url: str, wanted: Counter[str]) -> None:
        self.folder, self.seed, self.url, self.wanted = folder, seed, url, wanted
        self.lives = itertools.count()
        self.living: dict[int, str] = {}

    def run(self) -> None:
        while not select.select([sys.stdin], [], [], 0.01)[0]:
            self.reap()
            if not (self.folder / "paused").exists():
                (self.folder / "quiet").unlink(missing_ok=True)
                for role in (self.wanted - Counter(self.living.values())).elements():
                    self.start(role)
            elif self.living:
                self.signal(signal.SIGTERM)
                while self.living:
                    self.reap()
                    time.sleep(0.01)
            else:
                (self.folder / "quiet").touch()
        self.signal(signal.SIGKILL)

    def start(self, role: str) -> None:
        number = next(self.lives)
        child = os.fork()
        if child:
            self.living[child] = role
            (self.folder / "living" / str(child)).write_text(role)
            return
        try:
            if role not in IN_TIME:
                skew.install(self.folder / "clock")
            ROLES[role](Life(self.folder, role, number, self.seed, self.url))
        except BaseException:
            with (self.folder / "crashed").open("a") as file:
                file.write(f"{role}-{number}\n{traceback.format_exc()}\n")
        finally:
            pipeline.shutdown()
            os._exit(1)

    def reap(self) -> None:
        while self.living:
            child, _ = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            del self.living[child]
            (self.folder / "living" / str(child)).unlink()

    def signal(self, number: int) -> None:
        for child in self.living:
            os.kill(child, number)


def main() -> None:
    wanted: Counter[str] = Counter()
    for word in sys.argv[4:]:
        role, _, count = word.partition("=")
        wanted[role] = int(count)
    Fleet(Path(sys.argv[1]), sys.argv[2], sys.argv[3], wanted).run()


if __name__ == "__main__":
    main()
