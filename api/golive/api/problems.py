"""Errors over HTTP as problem details (RFC 9457), and what makes one of every error.

The routes also live in other people's applications, whose exception handlers are not golive's to set: so a
route handles its own errors, and before that its bounds and its credential.
"""

import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import fastapi
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from golive.errors import (
    Blocked,
    IdempotencyConflict,
    InvalidArgument,
    NotEligible,
    NotReserved,
    NotRestorable,
    NoTripwire,
    NotTripped,
    ReservationClosed,
    RiskDenied,
    SchemaError,
    SpoolFull,
    VersionConflict,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = "2"
_SHOWN_ERRORS = 20


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Denial(BaseModel):
    """Whose cap leaves no room for an action, and by how much; figures are text where they are money."""

    engine: str
    policy: str
    limit: str | int | None = None
    used: str | int | None = None
    asked: str | int | None = None
    room: str | int | None = None


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457); further members stand beside these."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] | None = None
    """Which fields, of a 422."""
    blockers: list[dict[str, Any]] | None = None
    """Which checks, of a 409."""
    version: int | None = None
    """What it is now, of a 412."""
    reason: str | None = None
    """Why a lever said no, in one word, of its 403."""
    denial: Denial | None = None
    """The figures, of the risk guard's 403."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Too small a scope",
                    "status": 403,
                    "detail": "This needs the scope operate.",
                }
            ]
        }
    )


class Problem(fastapi.HTTPException):
    """A request is answered with these problem details.

    One of FastAPI's exceptions, for those alone come out of the reading of a body as they are.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.details = ProblemDetails(title=title, status=status, detail=detail, **members)
        super().__init__(status, detail, dict(headers or {}))

    def response(self) -> Response:
        """Return the answer."""
        return JSONResponse(
            self.details.model_dump(exclude_none=True),
            self.details.status,
            {"Cache-Control": "no-store", **(self.headers or {})},
            MEDIA_TYPE,
        )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route's OpenAPI says of these answers."""
    return {
        status: {
            "model": ProblemDetails,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }


TAKES_BODY = problem_responses(408, 413, 415, 422)
"""Of a route with a body."""
CHANGES = {**TAKES_BODY, **problem_responses(412, 428)}
"""Of a route that changes what has a version."""


def problem_of(error: Exception) -> Problem:
    """Return what a client is told of an error: what it can mend, and nothing of the insides."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            found = error.errors()
            errors = [FieldError(field=_field(item), message=item["msg"]) for item in found]
            detail = "; ".join(f"{item.field}: {item.message}" for item in errors[:3])
            return Problem(422, "The request is not valid", detail, errors=errors[:_SHOWN_ERRORS])
        case InvalidArgument():
            field = FieldError(field=error.field, message=f"expected {error.expected}")
            return Problem(422, "The request is not valid", str(error), errors=[field])
        case Blocked():
            return Problem(409, "The runbook has blockers", str(error), blockers=error.blockers)
        case VersionConflict():
            return Problem(
                412,
                "The version does not match",
                str(error),
                {"ETag": f'"{error.version}"'},
                version=error.version,
            )
        case RiskDenied():
            return Problem(
                403, "The risk guard denies it", str(error), reason=error.reason, denial=_denial(error)
            )
        case NotEligible(reason=reason):
            status = 404 if reason == NotEligible.UNKNOWN else 403
            return Problem(status, "The charter does not allow it", str(error), reason=reason)
        case NotReserved():
            return Problem(404, "Not reserved", str(error))
        case ReservationClosed():
            return Problem(409, "The reservation is closed", str(error))
        case IdempotencyConflict():
            return Problem(409, "The idempotency key was used", str(error))
        case NoTripwire():
            return Problem(404, "No such tripwire", str(error))
        case NotTripped():
            return Problem(409, "The tripwire is not tripped", str(error))
        case NotRestorable():
            return Problem(409, "The throttle cannot be restored", str(error))
        case SpoolFull():
            return unavailable("The events cannot be kept now; nothing was recorded.")
        case SchemaError():
            _log.warning("a request could not be answered: %s", error)
            return unavailable(
                "golive's tables are missing, older (golive db upgrade) or damaged; see its log."
            )
        case SQLAlchemyError():
            # The cause may hold values and addresses: it is for the log.
            _log.warning("a request could not be answered: %s", _in_one_line(error))
            return unavailable("The store cannot be reached, takes no change, or does not answer in time.")
        case HTTPException():
            # A body that is no text: FastAPI's word for what is a 422 elsewhere.
            status = 422 if error.status_code == 400 else error.status_code
            return Problem(status, HTTPStatus(status).phrase, str(error.detail), error.headers)
        case _:
            _log.error("a request failed", exc_info=error)
            return Problem(500, "golive failed", "The log says why.")


def install(app: FastAPI) -> None:
    """Answer with problem details what no route of golive answers: an unknown path, a wrong method."""

    async def answer(_: Request, error: Exception) -> Response:
        return problem_of(error).response()

    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(Exception, answer)


def answering(
    handler: Callable[[Request], Coroutine[Any, Any, Response]],
    refuse: Callable[[Request, Problem], Response] = lambda _, problem: problem.response(),
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return a handler that answers every error of `handler`, by default with problem details."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return refuse(request, problem_of(error))

    return answer


def unavailable(detail: str) -> Problem:
    """Return a 503 that says when to try again."""
    return Problem(503, "Not available now", detail, {"Retry-After": _RETRY_AFTER_S})


def _denial(error: RiskDenied) -> Denial:
    figures = {name: getattr(error, name) for name in ("limit", "used", "asked", "room")}
    shown = {name: str(of) if isinstance(of, Decimal) else of for name, of in figures.items()}
    return Denial(engine=error.engine, policy=error.policy, **shown)


def _field(error: Mapping[str, Any]) -> str:
    # The first part says where: body, query, path; of a union's members FastAPI adds their names.
    where, *location = error["loc"]
    if error["type"] == "json_invalid":
        return str(where)
    return ".".join(str(part) for part in location if not str(part)[:1].isupper()) or str(where)


def _in_one_line(error: SQLAlchemyError) -> str:
    return json.dumps(str(getattr(error, "orig", None) or type(error).__name__))[1:300]
