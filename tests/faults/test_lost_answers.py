"""The network is cut in the very commit: what was done is done once, whoever asks again (E1, E5)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from golive import database, go_live, governance, pipeline, regression
from golive.account import Account
from golive.errors import ReservationClosed
from golive.kpi import kpi_success
from golive.risk import risk_refund, risk_release, risk_reserve_or_raise, risk_settle
from tests.faults import promises
from tests.faults.machine import Machine
from tests.support.proxy import Mode, Proxy, proxied
from tests.support.risk import actions, change, used
from tests.support.service import audited, wait_until
from tests.support.wires import CAPITAL, enable, fill

LOST: list[Mode] = ["lose commit", "lose answer"]


class Network:
    """A proxy before the database, the URL through it, and the one that is always there."""

    def __init__(self, proxy: Proxy, through: str, direct: str) -> None:
        self.proxy, self.through, self.direct = proxy, through, direct

    def lost(self, mode: Mode, act: Callable[[], Any], where: bytes = b"COMMIT\0") -> None:
        """Do something whose commit, or the answer to it, is lost."""
        self.proxy.loses, self.proxy.mode = where, mode
        with pytest.raises(OperationalError):
            act()
        assert self.proxy.mode == "pass"  # nothing was lost, if it is not


@pytest.fixture
def network(postgres_store: str) -> Iterator[Network]:
    with proxied(postgres_store) as (proxy, through):
        yield Network(proxy, through, postgres_store)


@pytest.fixture
def ledgers(network: Network) -> Iterator[Engine]:
    """Checks, at the end, that the ledgers are whole."""
    change(network.direct, "WHOLESALE", enabled=True)
    engine = create_engine(database.normalise_url(network.direct))
    yield engine
    promises.ledgers_are_the_sum_of_their_events(engine)
    promises.no_cap_is_exceeded(engine)
    engine.dispose()


@pytest.mark.parametrize("mode", LOST)
def test_a_booking_that_is_repeated_by_its_key_is_one_booking(
    network: Network, ledgers: Engine, mode: Mode
) -> None:
    def reserve() -> Any:
        return risk_reserve_or_raise(network.through, "WHOLESALE", 10, idempotency_key="deal-1")

    reserve_by = b"INSERT INTO risk_reservation"
    risk_reserve_or_raise(network.through, "WHOLESALE", 1)  # the day has begun
    network.lost(mode, reserve, reserve_by)
    made = reserve()
    assert made.status == "open"
    assert used(network.direct, "WHOLESALE", made.created_at)["open_risk_reserved"] == 11
    assert actions(network.direct) == ["RESERVE", "RESERVE"]


@pytest.mark.parametrize("mode", LOST)
def test_what_becomes_of_a_booking_becomes_of_it_once(network: Network, ledgers: Engine, mode: Mode) -> None:
    first, second = (risk_reserve_or_raise(network.through, "WHOLESALE", 10) for _ in range(2))

    def settle() -> Any:
        return risk_settle(network.through, "WHOLESALE", 10, 4, reservation_id=first.id)

    network.lost(mode, settle, b"'SETTLE'")
    assert settle().realized_loss == 4
    network.lost(mode, lambda: risk_release(network.through, second.id), b"'RELEASE'")
    assert risk_release(network.through, second.id).status == "released"

    def refund() -> Any:
        return risk_refund(network.through, first.id, 3, realized_loss=4)

    network.lost(mode, refund, b"'REFUND'")
    if mode == "lose answer":
        with pytest.raises(ReservationClosed, match="its loss is 1"):
            refund()
    else:
        assert refund().realized_loss == 1
    assert used(network.direct, "WHOLESALE", first.created_at) == {
        "exposure_used": 10, "open_risk_reserved": 0, "realized_loss": 1, "actions_count": 1, "denials": 0,
    }  # fmt: skip


@pytest.mark.parametrize("mode", LOST)
def test_a_transaction_that_is_repeated_books_once_and_its_events_are_those_of_what_committed(
    network: Network, ledgers: Engine, mode: Mode, tmp_path: Path, account: Account
) -> None:
    machine = Machine(tmp_path, network.through)
    pipeline.configure(network.through, spool_dir=machine.spool)
    engine = create_engine(database.normalise_url(network.through))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id varchar(40) PRIMARY KEY)"))

    def deal() -> None:
        with Session(engine) as session, session.begin():
            made = session.scalar(text("INSERT INTO deal VALUES ('1') ON CONFLICT DO NOTHING RETURNING id"))
            risk_reserve_or_raise(session, "WHOLESALE", 10, idempotency_key="deal-1")
            if made:
                kpi_success(session, "DEAL", "made", correlation_id="1")

    network.lost(mode, deal)
    deal()
    wait_until(lambda: pipeline.flush(1))
    engine.dispose()
    assert actions(network.direct) == ["RESERVE"]
    promises.events_follow_their_transactions(machine.rows(), ["1"], held=["made"])
    promises.no_event_is_there_twice(machine.rows())
    promises.counters_equal_rows(machine)
    pipeline.shutdown()


@pytest.mark.parametrize("mode", LOST)
def test_a_kill_switch_that_got_no_answer_is_engaged_by_the_next_call_at_the_latest(
    network: Network, mode: Mode
) -> None:
    def engage() -> Any:
        return go_live.engage_kill_switch(network.through, actor="ops", reason="offers doubled")

    go_live.read(network.through)  # so that the connection is not tried first, which is a commit too
    network.lost(mode, engage)
    assert go_live.read(network.through).kill_switch_engaged == (mode == "lose answer")
    assert engage().kill_switch_engaged
    engagements = [act for act in audited(network.direct) if act["action"] == "kill_switch.engage"]
    assert len(engagements) == (2 if mode == "lose answer" else 1)
    promises.the_audit_chain_is_whole(network.direct)


def test_a_kill_switch_that_lost_its_connection_is_not_said_to_be_engaged(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    go_live.read(network.through)
    network.lost(
        "lose answer",
        lambda: go_live.engage_kill_switch(network.through, actor="ops", reason="now"),
        b"governance_audit_head.last_hash",
    )
    assert not go_live.read(network.direct).kill_switch_engaged
    assert "engages the kill switch" not in caplog.text


@pytest.mark.parametrize("mode", LOST)
def test_a_trip_that_got_no_answer_acts_once(network: Network, mode: Mode) -> None:
    enable(network.direct, CAPITAL)
    fill(network.direct, CAPITAL, [100.0 + n % 7 for n in range(200)] + [-50.0 - n % 7 for n in range(50)])
    with governance.reading(network.through):
        pass  # so that the connection is not tried first, which is a commit too
    network.lost(mode, lambda: regression.evaluate_policy(network.through, *CAPITAL))
    regression.evaluate_policy(network.through, *CAPITAL)
    assert go_live.read(network.direct).kill_switch_engaged
    acts = [act["action"] for act in audited(network.direct)]
    assert acts.count("regression_state.trip") == acts.count("kill_switch.engage") == 1
    promises.the_audit_chain_is_whole(network.direct)
