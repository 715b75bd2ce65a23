"""What requests and answers share."""

import datetime as dt
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from golive.events import CORRELATION_ID_MAX, DOMAIN_MAX, METRIC_MAX
from golive.governance import REASON_MAX


def _only_text(value: object) -> object:
    if isinstance(value, str) and "T" in value.upper():
        return value
    raise ValueError("expected a time with its offset, as 2026-11-23T09:00:00Z")


def _in_utc(value: dt.datetime) -> dt.datetime:
    try:
        return value.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError("expected a time of the years 1 to 9999 in UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_only_text), AfterValidator(_in_utc)]
"""A time as RFC 3339 has it: pydantic would take numbers for one as well."""

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class Answer(BaseModel):
    """Base of answers; made from named tuples and mappings alike."""

    model_config = ConfigDict(from_attributes=True)


class Request(BaseModel):
    """Base of requests: a field nobody knows is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")


Domain = Annotated[str, Field(min_length=1, max_length=DOMAIN_MAX)]
Metric = Annotated[str, Field(min_length=1, max_length=METRIC_MAX)]
Correlation = Annotated[str | None, Field(max_length=CORRELATION_ID_MAX)]

Reason = Annotated[str, Field(min_length=1, max_length=REASON_MAX, description="Why; for the audit trail.")]

Version = Annotated[
    StrictInt | None,
    Field(ge=0, le=2**31 - 1, description="The version that was read, if not in `If-Match`."),
]


def _as_id(text: str) -> int:
    number = int(text)
    if number >= 1 << 63:
        raise ValueError("expected an id of golive's")
    return number


Id = Annotated[str, Field(pattern=r"^[0-9]{1,19}$", examples=["4611686018427387904"]), AfterValidator(_as_id)]
"""An id in a request; text both ways, for JavaScript's numbers cannot hold one."""


def _as_text(number: object) -> object:
    return str(number) if isinstance(number, int) else number


ShownId = Annotated[str, BeforeValidator(_as_text)]
"""An id in an answer."""
