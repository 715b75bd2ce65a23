"""What five KPI events add to a business transaction of five statements on PostgreSQL, by the ORM."""

import tempfile
import time
from typing import Any

from bench._rounds import compare
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from golive import database, pipeline
from golive.kpi import kpi_success
from tests.support.postgres import PostgresServer

TRANSACTIONS = 100
ROUNDS = 15


class Base(DeclarativeBase):
    pass


class Deal(Base):
    __tablename__ = "bench_deal"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    amount: Mapped[int]


class Account(Base):
    __tablename__ = "bench_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    exposure: Mapped[int]


def transaction(engine: Engine, kpis: int) -> None:
    """Book a deal in five steps, each with a statement of its own, the first `kpis` of them with an event."""

    def step(number: int, metric: str) -> None:
        if number <= kpis:
            kpi_success(db, "WHOLESALE", metric, actor="broker", correlation_id="deal_123")

    with Session(engine) as db:
        account = db.scalars(select(Account).with_for_update()).one()
        step(1, "account_locked")
        deal = Deal(state="open", amount=10)
        db.add(deal)
        db.flush()
        step(2, "offer_sent")
        account.exposure += deal.amount
        db.flush()
        step(3, "risk_reserved")
        deal.state = "accepted"
        db.flush()
        step(4, "contract_accepted")
        account.exposure -= deal.amount
        step(5, "risk_settled")
        db.commit()


def statements(engine: Engine, kpis: int) -> int:
    """Count the statements of one transaction."""
    counted: list[Any] = []

    def count(*arguments: Any) -> None:
        counted.append(arguments[2])

    event.listen(engine, "before_cursor_execute", count)
    transaction(engine, kpis)
    event.remove(engine, "before_cursor_execute", count)
    return len(counted)


def main(server: PostgresServer) -> list[str]:
    url = database.normalise_url(server.url())
    database.upgrade(url)
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as db, db.begin():
        db.add(Account(exposure=0))

    def run(kpis: int) -> float:
        started = time.perf_counter()
        for _ in range(TRANSACTIONS):
            transaction(engine, kpis)
        return (time.perf_counter() - started) / TRANSACTIONS

    with tempfile.TemporaryDirectory() as folder:
        pipeline.configure(url, spool_dir=folder)
        transaction(engine, 5)
        added = statements(engine, 5) - statements(engine, 0)
        result = compare(lambda: run(5), lambda: run(0), ROUNDS)
        pipeline.shutdown()
    Base.metadata.drop_all(engine)
    engine.dispose()
    return [
        f"| transaction with five events | {result.ours * 1e3:.2f} ms | the same without "
        f"| {result.theirs * 1e3:.2f} ms | {result.ratio:.2f} | at most 1.25 |",
        f"| statements five events add | {added} | | | | at most 1 |",
    ]
