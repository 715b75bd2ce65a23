"""The production gate: how old a state may be, and what holds when it cannot be read."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from golive.production import REFRESH_S, ProductionGate
from golive.settings import GateSettings
from golive.state import ALL_OFF, State

ON = ALL_OFF._replace(go_live_enabled=True)
KILLED = ON._replace(kill_switch_engaged=True)
ENFORCED = GateSettings(enforce=True, state_max_age_s=5)


class Database:
    """Answers with a state, or not."""

    def __init__(self, state: State | None = ON) -> None:
        self.state = state
        self.reads = 0
        self.now = 1000.0
        self.takes_s = 0.0

    def read(self) -> State:
        self.reads += 1
        self.now += self.takes_s
        if self.state is None:
            raise OperationalError("SELECT", {}, Exception("gone"))
        return self.state

    def gate(self, settings: GateSettings = ENFORCED) -> ProductionGate:
        return ProductionGate(self.read, settings, lambda: self.now)


@pytest.mark.parametrize(
    ("state", "enforce", "allowed", "reason"),
    [
        (ON, True, True, None),
        (ALL_OFF, True, False, "go_live_disabled"),
        (KILLED, True, False, "kill_switch_engaged"),
        (None, True, False, "state_unknown"),
        (ON, False, True, None),
        (ALL_OFF, False, True, None),
        (KILLED, False, False, "kill_switch_engaged"),
        (None, False, True, None),
    ],
)
def test_what_may_act_when(state: State | None, enforce: bool, allowed: bool, reason: str | None) -> None:
    decision = Database(state).gate(GateSettings(enforce=enforce)).decide()
    assert (decision.allowed, decision.reason) == (allowed, reason)


def test_the_state_is_read_at_most_once_in_its_time() -> None:
    database = Database()
    gate = database.gate()
    for _ in range(100):
        assert gate.decide().allowed
        database.now += REFRESH_S / 50
    assert database.reads == 2


def test_a_kill_switch_is_obeyed_within_the_refresh_time() -> None:
    database = Database()
    gate = database.gate()
    assert gate.decide().allowed
    database.state = KILLED
    database.now += REFRESH_S * 1.01
    assert not gate.decide().allowed


def test_an_unreadable_state_holds_until_its_maximum_age_and_then_refuses() -> None:
    database = Database()
    gate = database.gate()
    assert gate.decide().allowed
    database.state = None
    database.now += 4.9
    assert gate.decide().allowed
    database.now += 0.2
    assert gate.decide().reason == "state_unknown"
    database.state = ON
    database.now += REFRESH_S * 1.01
    assert gate.decide().allowed


def test_the_age_of_a_state_counts_from_before_the_question() -> None:
    database = Database()
    database.takes_s = 6.0
    assert database.gate().decide().reason == "state_unknown"


def test_a_database_that_fails_is_not_asked_by_every_request() -> None:
    database = Database(None)
    gate = database.gate()
    for _ in range(50):
        gate.decide()
    assert database.reads == 1


def test_of_many_threads_one_reads() -> None:
    database = Database()
    gate = database.gate()
    threads = [threading.Thread(target=gate.decide) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.reads == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([ON, ALL_OFF, KILLED, None]), st.floats(0, 7), st.floats(0, 3)), max_size=30
    )
)
def test_nothing_acts_on_a_state_past_its_maximum_age(steps: list[tuple[State | None, float, float]]) -> None:
    """Whatever the database answers when: who may act, may by a state the database had that recently."""
    database = Database(None)
    gate = database.gate()
    history: list[tuple[float, State | None]] = []
    for state, passes_s, takes_s in steps:
        database.now += passes_s
        database.state, database.takes_s = state, takes_s
        asked_at = database.now
        reads = database.reads
        decision = gate.decide()
        if database.reads > reads:
            history.append((asked_at, state))
        known = [found for at, found in history if found is not None and database.now - at <= 5]
        assert decision.allowed == bool(known and known[-1].allows_production)
