"""A deal desk: buys what it is offered, as long as it may, and records each step as a KPI.

    DATABASE_URL=sqlite:///desk.db uvicorn --factory examples.deal_desk.service:create_app

A deal is one transaction. What it reserves of the risk caps, and what golive records inside it as a success,
commits with it and vanishes with it; what it records as a failure stays, for it did happen. The database has
golive's tables (`golive db upgrade`). `counterparty` is the example's way to ask for trouble.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, Field
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from golive.asgi import CorrelationMiddleware
from golive.errors import GoliveError
from golive.heimdall import NotEligible, Recommendation, heimdall_recommend, heimdall_require_prod_eligible
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value
from golive.risk import RiskDenied, risk_reserve_or_raise, risk_settle

DESK = "WHOLESALE"
OFFERS = "WHOLESALE_OFFER"
LARGE_CENTS = 100_000_00
DECLINE_FEE = Decimal("2.50")
QUOTE_DEADLINE_S = 0.1

router = APIRouter()


class Base(DeclarativeBase):
    pass


class Deal(Base):
    """A deal that was made, or that the buyer declined."""

    __tablename__ = "desk_deal"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    amount_cents: Mapped[int]
    accepted: Mapped[bool]


class Order(BaseModel):
    """A deal somebody offers to the desk."""

    reference: str = Field(min_length=1, max_length=64)
    amount_cents: int = Field(gt=0)
    counterparty: Literal["steady", "declines", "slow", "crashes", "halts", "doubtful"] = "steady"


class Result(BaseModel):
    accepted: bool
    profit_cents: int


def session(request: Request) -> Iterator[Session]:
    """Yield the request's session; what it did not commit is rolled back."""
    with Session(request.app.state.engine) as db:
        try:
            yield db
        finally:
            # Said aloud: golive counts a session that wrote and just ends as forgotten, and warns.
            db.rollback()


async def quote(order: Order) -> int:
    """Return a price for the order, in cents, or give up at the deadline: the step is then `cancelled`."""
    try:
        async with (
            asyncio.timeout(QUOTE_DEADLINE_S),
            kpi_timed_step(None, "PRICING", "quote", actor="pricer"),
        ):
            await asyncio.sleep(1 if order.counterparty == "slow" else 0.01)
    except TimeoutError:
        raise HTTPException(504, "no quote in time") from None
    return order.amount_cents


@router.post("/deals")
def make_deal(
    order: Order, price_cents: Annotated[int, Depends(quote)], db: Annotated[Session, Depends(session)]
) -> Result:
    """Make one deal, step by step; the correlation id of the request is on every step."""
    amount = Decimal(price_cents).scaleb(-2)

    # 1. Reserve risk
    try:
        reserved = risk_reserve_or_raise(db, DESK, amount, actor="risk", reason=order.reference)
        kpi_success(db, DESK, "risk_reserved", actor="risk", detail={"amount": str(amount)})
    except RiskDenied as error:
        kpi_fail(db, DESK, "risk_denied", actor="risk", detail={"reason": error.reason})
        raise refused(error) from error

    # 2. Get a recommendation, and leave to use it
    try:
        with kpi_timed_step(db, DESK, "recommendation", actor="recommender") as step:
            advice = recommend(db, order)
            step.value = advice.confidence
            heimdall_require_prod_eligible(db, advice.id, actor="broker")
    except NotEligible as error:
        raise refused(error) from error

    # 3. Execute the action
    try:
        with kpi_timed_step(db, DESK, "action_executed", actor="broker"):
            deal = execute(db, order, price_cents)
    except IntegrityError as error:
        raise HTTPException(409, f"{order.reference} was dealt before") from error
    except ConnectionError as error:
        raise HTTPException(502, str(error)) from error

    # 4. Settle risk
    loss = Decimal(0) if deal.accepted else DECLINE_FEE
    risk_settle(db, DESK, amount, loss, reservation_id=reserved.id, actor="risk")
    kpi_success(db, DESK, "risk_settled", actor="risk")

    # 5. Record the outcome
    profit_cents = price_cents // 50 if deal.accepted else 0
    if deal.accepted:
        kpi_success(db, DESK, "outcome_success", actor="desk")
        kpi_value(db, DESK, "profit", profit_cents / 100, actor="desk")
    else:
        kpi_fail(db, DESK, "outcome_failed", actor="desk", detail={"reason": "the buyer declined"})

    if order.counterparty == "halts":
        # Between the records and the commit: none of the successes above will have happened.
        raise HTTPException(503, "trading in this name was halted")
    db.commit()
    return Result(accepted=deal.accepted, profit_cents=profit_cents)


def refused(error: GoliveError) -> HTTPException:
    """Return the answer to what a lever refused; its code tells which did."""
    return HTTPException(403, {"code": error.code, "message": str(error)})


def recommend(db: Session, order: Order) -> Recommendation:
    """Recommend the deal, the surer the smaller it is, unless nobody knows the counterparty."""
    time.sleep(0.001)
    confidence = 0.5 if order.counterparty == "doubtful" else 1 - order.amount_cents / (4 * LARGE_CENTS)
    return heimdall_recommend(
        db,
        OFFERS,
        round(confidence, 3),
        {"deal": order.reference},
        evidence=order.model_dump(),
        actor="model",
    )


def execute(db: Session, order: Order, price_cents: int) -> Deal:
    """Make the deal with the counterparty, and book it."""
    if order.counterparty == "crashes":
        raise ConnectionError("the counterparty hung up")
    deal = Deal(
        reference=order.reference,
        amount_cents=price_cents,
        accepted=order.counterparty != "declines",
    )
    db.add(deal)
    db.flush()
    return deal


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the desk's tables, and let go of the database at the end."""
    engine = app.state.engine = create_engine(os.environ["DATABASE_URL"])
    Base.metadata.create_all(engine)
    yield
    engine.dispose()


def create_app() -> FastAPI:
    """Return the service; its spans go to an OpenTelemetry provider as in any other application."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": "deal-desk"})))
    app = FastAPI(title="Deal desk", lifespan=lifespan)
    app.add_middleware(CorrelationMiddleware)
    app.include_router(router)
    return app
