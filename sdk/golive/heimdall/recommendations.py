"""Recommendations: one is written once, with the gate's decision at its creation, and never changed."""

import datetime as dt
import json
import re
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from golive.errors import InvalidArgument
from golive.models import HeimdallRecommendation

JSON_MAX_BYTES: Final = 64 * 1024
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL has no NUL in text, UTF-8 no surrogates

_model = HeimdallRecommendation


class Recommendation(NamedTuple):
    """What was recommended.

    Attributes:
        confidence: Of whoever recommends, 0 to 1.
        prod_eligible: Whether it passed the gate when it was made.
        gate_reason: Why it did not.
    """

    id: int
    domain: str
    confidence: float
    recommendation_json: Any
    evidence_json: Any
    prod_eligible: bool
    gate_reason: str | None
    correlation_id: str | None
    actor: str | None
    trace_id: str | None
    created_at: dt.datetime


_COLUMNS: Final = tuple(getattr(_model, name) for name in Recommendation._fields)


def by_id(connection: Connection, recommendation_id: int) -> Recommendation | None:
    """Return the recommendation with this id."""
    row = connection.execute(select(*_COLUMNS).where(_model.id == recommendation_id)).one_or_none()
    return None if row is None else Recommendation(*row)


def recommendations(connection: Connection, limit: int) -> list[Recommendation]:
    """Return the last recommendations, the newest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(_model.id.desc()).limit(limit))
    return [Recommendation(*row) for row in rows]


def check_json(field: str, given: object) -> Any:
    """Return a JSON value as it is, or raise `InvalidArgument`: unlike `detail` it must not be changed."""
    expected = f"a JSON value of at most {JSON_MAX_BYTES} bytes"
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        unchanged = json.loads(text) == given
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(field, expected, str(error)[:60]) from None
    if not unchanged or _UNSTORABLE.search(text) or "\\u0000" in text:
        raise InvalidArgument(field, expected, "keys or characters JSON does not keep")
    if len(text.encode()) > JSON_MAX_BYTES:
        raise InvalidArgument(field, expected, f"{len(text.encode())} bytes")
    return given
