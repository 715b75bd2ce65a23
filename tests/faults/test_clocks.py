"""A clock that is wrong, ahead or behind: caps hold, days stay, and ids rise."""

import datetime as dt
import time
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from golive import database, go_live, governance, regression
from golive.api.limits import Limits
from golive.api.problems import Problem
from golive.errors import NotEligible
from golive.heimdall import (
    heimdall_recommend,
    heimdall_require_prod_eligible,
    heimdall_sandbox_trial,
    upsert_policy,
)
from golive.ids import IdGenerator
from golive.maintenance.maintaining import maintain
from golive.models import RiskEvent
from golive.models.base import utc_now
from golive.risk import RiskDenied, risk_refund, risk_reserve_or_raise, risk_settle
from golive.settings import ServiceSettings
from tests.faults import promises
from tests.support.risk import change, used
from tests.support.service import serving, wait_until
from tests.support.wires import CAPITAL, enable, fill, standing


def set_clock(monkeypatch: pytest.MonkeyPatch, off: dt.timedelta) -> None:
    """Have this process's clock be so far off."""

    class Off(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + off

    monkeypatch.setattr("golive.models.base.dt", SimpleNamespace(**vars(dt) | {"datetime": Off}))


def last_check(url: str) -> Any:
    """Return when a tripwire was evaluated last; None where none was."""
    with governance.reading(url) as connection:
        return connection.scalar(text("SELECT max(last_checked_at) FROM regression_state"))


@pytest.mark.parametrize(
    "off", [dt.timedelta(hours=2), dt.timedelta(days=366), dt.timedelta(days=-2)], ids=str
)
def test_a_booker_whose_clock_is_wrong_frees_nothing_and_begins_no_day(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch, off: dt.timedelta
) -> None:
    change(postgres_store, "WHOLESALE", enabled=True, max_open_risk=500)
    first = risk_reserve_or_raise(postgres_store, "WHOLESALE", 500)
    with monkeypatch.context() as wrong:
        for module in ("ledger", "reservations"):
            wrong.setattr(f"golive.risk.{module}.utc_now", lambda: utc_now() + off)
        with pytest.raises(RiskDenied, match="max_open_risk"):
            risk_reserve_or_raise(postgres_store, "WHOLESALE", 1)
        change(postgres_store, "WHOLESALE", max_open_risk=501)
        second = risk_reserve_or_raise(postgres_store, "WHOLESALE", 1)
        risk_settle(postgres_store, "WHOLESALE", 1, 1, reservation_id=second.id)
        risk_refund(postgres_store, second.id, 1)
    assert second.day == first.day
    assert second.expires_at is not None
    assert dt.timedelta() < second.expires_at - utc_now() <= dt.timedelta(hours=1)
    assert used(postgres_store, "WHOLESALE", utc_now())["open_risk_reserved"] == 500
    engine = create_engine(database.normalise_url(postgres_store))
    with engine.connect() as connection:
        booked = connection.scalars(select(RiskEvent.created_at)).all()
    assert all(abs(at - utc_now()) < dt.timedelta(minutes=1) for at in booked)
    promises.ledgers_are_the_sum_of_their_events(engine)
    promises.no_cap_is_exceeded(engine)
    engine.dispose()


@pytest.mark.parametrize("off", [dt.timedelta(days=40), dt.timedelta(days=-40)], ids=["ahead", "behind"])
def test_a_process_whose_clock_is_wrong_neither_hides_todays_trials_nor_goes_by_old_ones(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch, off: dt.timedelta
) -> None:
    policy: dict[str, Any] = {
        "min_confidence_prod": 0.0,
        "min_sandbox_trials": 2,
        "min_sandbox_success_rate": 0.9,
    }
    upsert_policy(
        postgres_store, domain="BUYER_MATCH", prod_use_enabled=True, actor="ops", reason="trial", **policy
    )
    set_clock(monkeypatch, off)
    for _ in range(2):
        heimdall_sandbox_trial(postgres_store, "BUYER_MATCH", success=True, confidence=0.9)
    monkeypatch.undo()
    made = heimdall_recommend(postgres_store, "BUYER_MATCH", 0.9, {"buyer": 17})
    assert made.prod_eligible
    heimdall_sandbox_trial(postgres_store, "BUYER_MATCH", success=False, confidence=0.9)
    set_clock(monkeypatch, off)
    with pytest.raises(NotEligible):
        heimdall_require_prod_eligible(postgres_store, made.id)


@pytest.mark.parametrize("off", [dt.timedelta(hours=1), dt.timedelta(hours=-1)], ids=["ahead", "behind"])
def test_an_evaluator_whose_clock_is_wrong_sees_the_fall_and_no_silence_and_a_re_arm_hides_nothing(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch, off: dt.timedelta
) -> None:
    enable(postgres_store, CAPITAL, trip_when_blind=True)
    good, bad = [100.0 + n % 7 for n in range(250)], [-50.0 - n % 7 for n in range(50)]
    fill(postgres_store, CAPITAL, good)
    set_clock(monkeypatch, off)
    assert not regression.evaluate_policy(postgres_store, *CAPITAL).tripped
    fill(postgres_store, CAPITAL, bad, start=utc_now() - off, gap_s=0.001)
    assert regression.evaluate_policy(postgres_store, *CAPITAL).tripped
    assert go_live.read(postgres_store).kill_switch_engaged
    regression.rearm(postgres_store, *CAPITAL, actor="ops", reason="mended")
    fill(postgres_store, CAPITAL, bad, start=utc_now() - off, gap_s=0.001)
    assert regression.evaluate_policy(postgres_store, *CAPITAL).tripped


def test_a_client_at_its_limit_waits_a_minute_and_not_an_hour_where_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(ServiceSettings(requests_per_minute=1))
    limits.admit("ops")
    with pytest.raises(Problem):
        limits.admit("ops")
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() - 3600)
    limits.admit("ops")
    with pytest.raises(Problem) as refused:
        limits.admit("ops")
    assert int((refused.value.headers or {})["Retry-After"]) <= 61


@pytest.mark.parametrize("off", [dt.timedelta(hours=1), dt.timedelta(hours=-1)], ids=["ahead", "behind"])
def test_a_service_whose_clock_is_wrong_hears_the_silence_since_it_is_up_and_none_before(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch, off: dt.timedelta
) -> None:
    ahead = off > dt.timedelta()
    enable(postgres_store, CAPITAL, trip_when_blind=True, blind_after_s=0.001 if ahead else 60.0)
    fill(postgres_store, CAPITAL, [100.0] * 250, start=utc_now() - dt.timedelta(minutes=30))
    set_clock(monkeypatch, off)
    with serving(postgres_store, evaluate_interval_s=0.1):
        wait_until(lambda: last_check(postgres_store) is not None)
        checked = last_check(postgres_store)
        wait_until(lambda: last_check(postgres_store) != checked)
    assert standing(postgres_store, CAPITAL).triggered == ahead


def test_maintenance_on_a_machine_whose_clock_is_ahead_deletes_nothing_too_early(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres_store, ("DEAL", "made"), [True] * 10, start=utc_now() - dt.timedelta(days=1))
    set_clock(monkeypatch, dt.timedelta(days=400))
    maintain(database.normalise_url(postgres_store), retention_days=30)
    with governance.reading(postgres_store) as connection:
        assert connection.scalar(text("SELECT count(*) FROM kpi_event")) == 10


def test_ids_rise_while_the_clock_steps_back_and_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    made, steps = IdGenerator(), iter([0, 0, 3600, 3600, -3600, 0, 7200, -86400])
    now_ns = 1_780_000_000_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: now_ns + next(steps) * 1_000_000_000)
    ids = [made() for _ in range(8)]
    assert ids == sorted(set(ids))
