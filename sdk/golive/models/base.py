"""What every table shares: the declarative base, and column types that mean the same on both databases."""

import datetime as dt
import json
from decimal import Context, Decimal
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, MetaData, Numeric, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

EXACT = Context(prec=64)
"""For amounts of money: the application's own context may round them."""

_CENT = Decimal("0.01")
_TOO_MUCH = Decimal(10) ** 16


class Base(DeclarativeBase):
    """The base of golive's models; its metadata is apart from the application's own."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An instant: timezone-aware in, UTC out; a naive time is refused, for nobody knows which instant it is.

    PostgreSQL keeps a `timestamptz`; SQLite the UTC time as text of one width, so that it sorts as it should.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a timezone-aware datetime, got the naive {value.isoformat()}")
        value = value.astimezone(dt.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if dialect.name == "sqlite" else value.astimezone(dt.UTC)


class Money(TypeDecorator[Decimal]):
    """An exact amount of money with two decimals; floats and fractions of a cent are refused.

    SQLite has no decimals: `NUMERIC` would turn into a float there, whose sums are off by cents, and text
    sorts "9.00" above "10.00". So it keeps whole cents in an integer, with which sums, differences and
    comparisons in SQL are exact. Multiply in Python: in SQL a factor would be taken for money.
    """

    impl = Numeric(18, 2)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(18, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not _is_money(value):
            raise ValueError(f"expected a Decimal or an int in whole cents, below 10 ** 16, got {value!r}")
        amount = Decimal(value)
        return int(EXACT.multiply(amount, Decimal(100))) if dialect.name == "sqlite" else amount

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        return EXACT.scaleb(Decimal(value), -2) if dialect.name == "sqlite" else Decimal(value)


class Json(TypeDecorator[Any]):
    """Any JSON value; None is SQL's NULL. `JSONB` on PostgreSQL.

    SQLite keeps JSON text in a `TEXT` column: in one declared `JSON` it would turn numbers into its own.
    """

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSONB(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value) if value is not None and dialect.name == "sqlite" else value


BigId = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both; on SQLite only an `INTEGER` primary key is the row id itself."""


def _is_money(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        return False
    amount = Decimal(value)
    return amount.is_finite() and amount.copy_abs() < _TOO_MUCH and amount == EXACT.quantize(amount, _CENT)


def utc_now() -> dt.datetime:
    """Return the present instant."""
    return dt.datetime.now(dt.UTC)


Id = Annotated[int, mapped_column(BigId, primary_key=True)]
"""A primary key the database counts up."""

Now = Annotated[dt.datetime, mapped_column(UtcDateTime, default=utc_now, server_default=func.now())]
"""An instant that is now unless given."""
