"""The class of every route: first the credential, then the bounds, then the route; errors as problems."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from golive.api.auth import Requirement
from golive.api.control import Control, control_of
from golive.api.problems import Problem, answering
from golive.api.production import MARK, OBSERVE_ONLY

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GateRoute(APIRoute):
    """A route of golive's, in whichever application it is mounted.

    Marked as one that only observes: whoever protects an application with the gate must not lock out the
    gate's own doors, the kill switch's first of all.
    """

    def get_route_handler(self) -> Handler:
        """Return the handler, within what it needs."""
        handler = super().get_route_handler()
        requirement = next(_requirements(self.dependant), None)

        async def guarded(request: Request) -> Response:
            if requirement is not None:
                control = control_of(request)
                await requirement.satisfy(request, control)
                if self.body_field is not None:
                    request = control.limits.bound_body(request)
                return await self.answer(request, control, handler)
            return await handler(request)

        return answering(guarded, self.refuse)

    async def answer(self, request: Request, _: Control, handler: Handler) -> Response:
        """Return the handler's answer to a request that may be made."""
        return await handler(request)

    @staticmethod
    def refuse(_: Request, problem: Problem) -> Response:
        """Return the answer to a request that met an error."""
        return problem.response()


class IngestRoute(GateRoute):
    """A route that takes events, from so many at once; whose body is slow takes nobody's room."""

    async def answer(self, request: Request, control: Control, handler: Handler) -> Response:
        """Return the handler's answer, or say when to come again."""
        try:
            await request.body()  # kept by the request
        except ClientDisconnect:
            raise Problem(400, "The body ended too early") from None
        with control.kpi_turns.taken_on():
            return await handler(request)


setattr(GateRoute, MARK, OBSERVE_ONLY)


def _requirements(dependant: Dependant) -> Iterator[Requirement]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Requirement):
            yield dependency.call
        yield from _requirements(dependency)
