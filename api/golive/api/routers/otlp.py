"""OTLP in: KPI events from any OpenTelemetry SDK, or from the Collector."""

from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from golive import ingest
from golive.api.auth import Requirement
from golive.api.control import Controlled
from golive.api.limits import Limits, media_type_of
from golive.api.otlp import answers, bodies, events, json_body, protobuf_body
from golive.api.otlp.records import TooMany, Undecodable
from golive.api.problems import Problem
from golive.api.routes import GateRoute
from golive.api.schemas.otlp import LOGS_REQUEST, LOGS_RESPONSES

RECORDS_PER_EVENT = 10
"""How many log records a request may have for each event `GOLIVE_MAX_BATCH_EVENTS` allows: the Collector's
batches are of 8,192 unless it is told otherwise, and what is not taken at once it would not send again."""


class OtlpRoute(GateRoute):
    """A route whose errors are answered as OTLP's senders read them."""

    @staticmethod
    def refuse(request: Request, problem: Problem) -> Response:
        """Return a `google.rpc.Status`."""
        return answers.failed(media_type_of(request), problem)


router = APIRouter(tags=["otlp"], route_class=OtlpRoute)


@router.post(
    "/v1/logs",
    dependencies=[Depends(Requirement("ingest"))],
    response_class=Response,
    openapi_extra={"requestBody": LOGS_REQUEST},
    responses=LOGS_RESPONSES,
)
async def export_logs(control: Controlled, request: Request) -> Response:
    """Take the KPI events among log records, each once; once this answers, they survive this process.

    Records that are no KPI event are rejected in `partial_success`, the others kept. What may be sent again
    is answered with 429 or 503 and `Retry-After`.
    """
    limits, max_records = control.limits, RECORDS_PER_EVENT * control.settings.max_batch_events
    media_type, compressed = bodies.media_type(request), bodies.is_compressed(request)
    body = await bodies.received(request, limits)
    with control.otlp_turns.taken_on():
        return await control.otlp_turns.run(
            partial(_answer, limits, max_records, media_type, compressed, body)
        )


def _answer(limits: Limits, max_records: int, media_type: str, compressed: bool, body: bytes) -> Response:
    decode = json_body.read if media_type == bodies.JSON else protobuf_body.read
    try:
        records = decode(bodies.inflated(body, limits) if compressed else body, max_records)
    except Undecodable as error:
        raise Problem(400, "The body cannot be read", str(error)) from None
    except TooMany:
        detail = f"At most {max_records} log records go into one request."
        raise Problem(413, "The batch is too large", detail) from None
    found = events.sort(records)
    ingest.take(found.events)
    return answers.taken(media_type, found.refused)
