"""KPI events: recording them, and reading them back."""

import base64
import binascii
import datetime as dt
import struct
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from golive import ingest, readers
from golive.api.auth import MAY_READ, Requirement
from golive.api.control import Controlled
from golive.api.problems import Problem, problem_responses
from golive.api.routes import GateRoute, IngestRoute
from golive.api.schemas.base import Moment
from golive.api.schemas.kpi import (
    EventPage,
    EventView,
    KpiBatch,
    KpiBody,
    KpiRecorded,
    MetricSummaryView,
    Summary,
    Timeline,
    TimelineEntryView,
)
from golive.events import ACTOR_MAX, CORRELATION_ID_MAX, DOMAIN_MAX, METRIC_MAX
from golive.instants import EPOCH, microseconds
from golive.reader import Cursor, Event, EventFilter

router = APIRouter(tags=["kpi"], route_class=GateRoute, responses=problem_responses(401, 403, 422, 429, 503))

_may_ingest = Depends(Requirement("ingest"))
_TEXT = r"^[^\u0000]*$"
"""PostgreSQL takes no NUL, not even to look for."""
_CURSOR = struct.Struct(">qq")

Domain = Annotated[str | None, Query(max_length=DOMAIN_MAX, pattern=_TEXT)]
Since = Annotated[Moment | None, Query(description="From when on.")]
Until = Annotated[Moment | None, Query(description="Until before when.")]


taking = APIRouter(
    tags=["kpi"], route_class=IngestRoute, responses=problem_responses(401, 403, 422, 429, 503)
)


@taking.post(
    "/governance/regression/kpi",
    status_code=201,
    dependencies=[_may_ingest],
    responses=problem_responses(408, 413, 415),
)
async def record(control: Controlled, body: KpiBody) -> KpiRecorded:
    """Record one event or a batch. Once this answers, they survive the death of this process.

    Events are recorded once each time they are sent: a client that got no answer and sends again records
    them twice, unless it can tell from `kpi/correlations/{id}` that they are there.
    """
    given = body.events if isinstance(body, KpiBatch) else [body]
    limit = control.settings.max_batch_events
    if len(given) > limit:
        raise Problem(413, "The batch is too large", f"At most {limit} events go into one request.")
    recorded = await control.kpi_turns.run(
        lambda: ingest.record([ingest.Outcome(**dict(event)) for event in given])
    )
    return KpiRecorded(event_ids=[str(event_id) for event_id in recorded])


@router.get("/kpi/events", dependencies=[MAY_READ])
def list_events(
    control: Controlled,
    domain: Domain = None,
    metric: Annotated[str | None, Query(max_length=METRIC_MAX, pattern=_TEXT)] = None,
    success: bool | None = None,
    actor: Annotated[str | None, Query(max_length=ACTOR_MAX, pattern=_TEXT)] = None,
    correlation_id: Annotated[str | None, Query(max_length=CORRELATION_ID_MAX, pattern=_TEXT)] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> EventPage:
    """Events, the newest first."""
    wanted = EventFilter(domain, metric, success, actor, correlation_id, since, until)
    with readers.reading(control.engine) as events:
        found = events.events(wanted, limit, _decode(cursor))
    following = _encode(found[-1]) if len(found) >= limit else None
    return EventPage(events=[EventView(**_view(event)) for event in found], next_cursor=following)


@router.get("/kpi/summary", dependencies=[MAY_READ])
def summarise(
    control: Controlled, since: Since = None, until: Until = None, domain: Domain = None
) -> Summary:
    """Rates per metric."""
    with readers.reading(control.engine) as events:
        found = events.summary(since, until, domain)
    return Summary(metrics=[MetricSummaryView.model_validate(metric) for metric in found])


@router.get("/kpi/correlations/{correlation_id:path}", dependencies=[MAY_READ])
def show_timeline(
    control: Controlled,
    correlation_id: Annotated[str, Path(min_length=1, max_length=CORRELATION_ID_MAX, pattern=_TEXT)],
) -> Timeline:
    """Everything that happened under a correlation id, in order; no events if nothing did."""
    with readers.reading(control.engine) as events:
        found = events.timeline(correlation_id)
    entries = [TimelineEntryView(**_view(entry), correlation_id=correlation_id) for entry in found]
    return Timeline(correlation_id=correlation_id, events=entries)


def _view(event: Any) -> dict[str, Any]:
    return dict(event._asdict()) | {"id": str(event.id)}


def _encode(event: Event) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(microseconds(event.created_at), event.id)).decode()


def _decode(cursor: str | None) -> Cursor | None:
    if cursor is None:
        return None
    try:
        created_us, event_id = _CURSOR.unpack(base64.urlsafe_b64decode(cursor))
        return Cursor(EPOCH + dt.timedelta(microseconds=created_us), event_id)
    except (binascii.Error, struct.error, ValueError, OverflowError) as error:
        raise Problem(
            422, "The cursor is none", "cursor: expected next_cursor of the page before."
        ) from error
