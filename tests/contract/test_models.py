"""The models mean the same on SQLite and PostgreSQL."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from golive import database
from golive.models import GoLiveState, KpiEventRow, RegressionPolicy, RiskEvent, RiskLedgerDay

NOW = dt.datetime(2026, 3, 29, 1, 30, 0, 123_456, tzinfo=dt.UTC)


@pytest.fixture
def engine(store: str) -> Iterator[Engine]:
    engine = database.create_store_engine(database.normalise_url(store))
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def _event(id_: int, **values: Any) -> KpiEventRow:
    defaults = {"domain": "WHOLESALE", "metric": "offer_sent", "success": True, "created_at": NOW}
    return KpiEventRow(id=id_, **{**defaults, **values})


def _saved(session: Session, row: KpiEventRow) -> KpiEventRow:
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def test_a_time_comes_back_as_the_same_instant_in_utc(session: Session) -> None:
    berlin = NOW.astimezone(dt.timezone(dt.timedelta(hours=2)))
    found = _saved(session, _event(1, created_at=berlin)).created_at
    assert (found, found.tzinfo) == (NOW, dt.UTC)


def test_a_time_without_a_zone_is_refused(session: Session) -> None:
    session.add(_event(1, created_at=NOW.replace(tzinfo=None)))
    with pytest.raises(StatementError) as caught:
        session.commit()
    assert isinstance(caught.value.orig, ValueError)


def test_times_compare_and_sort_in_sql_whatever_their_zone(session: Session) -> None:
    for minutes in (0, 1, 2):
        zone = dt.timezone(dt.timedelta(hours=5 * minutes - 5))
        session.add(_event(minutes, created_at=(NOW + dt.timedelta(minutes=minutes)).astimezone(zone)))
    session.commit()
    later = select(KpiEventRow.id).where(KpiEventRow.created_at > NOW).order_by(KpiEventRow.created_at)
    assert session.scalars(later).all() == [1, 2]


def test_an_id_of_63_bits_is_kept(session: Session) -> None:
    found = _saved(session, _event(2**63 - 1, emitter=2**63 - 2))
    assert (found.id, found.emitter) == (2**63 - 1, 2**63 - 2)


@pytest.mark.parametrize(
    "detail", [{"a": [1, None, 2.5]}, [], "plain", "123", "true", "", 5, 1.5, True, {"nested": {"ü": "é"}}]
)
def test_detail_keeps_its_type_and_value(session: Session, detail: Any) -> None:
    found = _saved(session, _event(1, detail=detail)).detail
    assert (found, type(found)) == (detail, type(detail))


def test_no_detail_is_null_in_sql(session: Session) -> None:
    _saved(session, _event(1, detail=None))
    assert session.execute(text("SELECT count(*) FROM kpi_event WHERE detail IS NULL")).scalar_one() == 1


def test_two_events_of_one_id_are_refused(session: Session) -> None:
    _saved(session, _event(1))
    session.expunge_all()
    session.add(_event(1, metric="another"))
    with pytest.raises(IntegrityError):
        session.commit()


def test_money_is_exact_in_sums_and_comparisons(session: Session) -> None:
    session.add_all(
        RiskEvent(engine="WHOLESALE", action="RESERVE", amount=Decimal("0.10")) for _ in range(1000)
    )
    session.add(RiskEvent(engine="CAPITAL", action="RESERVE", amount=Decimal("9.99")))
    session.commit()
    wholesale = RiskEvent.engine == "WHOLESALE"
    assert session.scalar(select(func.sum(RiskEvent.amount)).where(wholesale)) == Decimal("100.00")
    over = select(func.count()).where(RiskEvent.amount > Decimal("9.98"), RiskEvent.amount < 10)
    assert session.scalar(over) == 1
    largest = Decimal("9999999999999999.99")
    session.add(RiskEvent(engine="GLOBAL", action="RESERVE", amount=largest))
    session.commit()
    assert session.scalar(select(func.max(RiskEvent.amount))) == largest


def test_money_is_added_in_sql_to_the_cent(session: Session) -> None:
    session.add(RiskLedgerDay(day=NOW.date(), engine="CAPITAL", exposure_used=Decimal("0.10")))
    session.commit()
    session.execute(
        update(RiskLedgerDay)
        .where(RiskLedgerDay.exposure_used + Decimal("0.20") <= Decimal("0.30"))
        .values(exposure_used=RiskLedgerDay.exposure_used + Decimal("0.20"))
    )
    ledger = session.scalars(select(RiskLedgerDay)).one()
    assert (ledger.exposure_used, ledger.realized_loss) == (Decimal("0.30"), Decimal(0))


@pytest.mark.parametrize(
    "amount", [0.1, True, Decimal("0.005"), Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 16, "1.00"]
)
def test_money_that_cannot_be_kept_exactly_is_refused(session: Session, amount: Any) -> None:
    session.add(RiskEvent(engine="WHOLESALE", action="RESERVE", amount=amount))
    with pytest.raises(StatementError, match="whole cents"):
        session.commit()


def test_a_row_written_by_hand_gets_the_defaults(session: Session) -> None:
    """A writer that knows nothing of modes means the threshold rule; a new policy of golive's is confirmed."""
    session.execute(text("INSERT INTO regression_policy (domain, metric) VALUES ('A', 'by_hand')"))
    session.add(RegressionPolicy(domain="A", metric="by_golive"))
    session.commit()
    policies = session.scalars(select(RegressionPolicy).where(RegressionPolicy.domain == "A")).all()
    assert {policy.metric: policy.mode for policy in policies} == {
        "by_hand": "threshold",
        "by_golive": "confirmed",
    }
    for policy in policies:
        assert (policy.throttle_ladder, policy.enabled, policy.version) == ([0], False, 1)
        assert abs(policy.updated_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_the_go_live_state_is_one_row_and_off(session: Session) -> None:
    state = session.scalars(select(GoLiveState)).one()
    assert (state.id, state.go_live_enabled, state.kill_switch_engaged) == (1, False, False)
