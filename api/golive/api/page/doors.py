"""What stands before every part of the page: who visits, what they may do, and how an error is shown."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from golive.api.auth import ANONYMOUS, Principal
from golive.api.control import Control, control_of
from golive.api.page.rendering import render
from golive.api.problems import Problem, problem_of, unavailable
from golive.api.production import MARK, OBSERVE_ONLY

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer, with which browsers hide the Origin of a form from its own site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_FIELDS_MAX: Final = 64

Form = Mapping[str, str]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class InDoubt(Problem):
    """The store went away, or golive failed, in the middle of an act: it may have been done."""


class PageRoute(Route):
    """A route of the page; marked as one that only observes, or the gate would lock out its switches."""


setattr(PageRoute, MARK, OBSERVE_ONLY)


@dataclass(frozen=True)
class Visit:
    """One request of somebody.

    Attributes:
        request: The request.
        control: The service it reached.
        principal: Who; `ANONYMOUS` where nobody is signed in.
        session: The secret of their session.
    """

    request: Request
    control: Control
    principal: Principal = ANONYMOUS
    session: str | None = None

    @property
    def root(self) -> str:
        """Where the page is mounted, without a slash at the end."""
        return str(self.request.scope.get("root_path", "")).rstrip("/")

    @property
    def here(self) -> str:
        """The path of the part that is shown, below the root; empty for the answer to a form."""
        return self.request.url.path.removeprefix(self.root) if self.request.method == "GET" else ""

    @property
    def csrf(self) -> str:
        """What a form of this session carries; empty where there is none."""
        if self.session is None:
            return ""
        return hmac.new(self.session.encode(), b"golive form", hashlib.sha256).hexdigest()

    def may(self, scope: str) -> bool:
        """Return whether they may read (`read`, `runbook`) or act (`operate`)."""
        if scope in self.control.settings.anonymous:
            return True
        return ("read" if scope == "runbook" else scope) in self.principal.scopes

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page."""
        text = render(
            template,
            root=self.root,
            principal=None if self.principal is ANONYMOUS else self.principal,
            csrf=self.csrf,
            may_operate="operate" in self.principal.scopes,
            may_read=self.may("read"),
            here=self.here,
            trace_url=self.control.settings.trace_url,
            **context,
        )
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})

    def go_to(self, path: str) -> Response:
        """Return a redirect to another part of the page, which is then read."""
        return RedirectResponse(self.root + path, 303, {"Cache-Control": "no-store"})


def reading(show: Callable[[Visit], Awaitable[Response]], *opened_by: str) -> Handler:
    """Return the handler of a part that shows something.

    Args:
        show: Makes the page.
        opened_by: Any of these scopes will do; `read` by default.
    """

    async def handle(visit: Visit) -> Response:
        if not any(visit.may(scope) for scope in opened_by or ("read",)):
            if visit.principal is ANONYMOUS:
                query = f"?{visit.request.url.query}" if visit.request.url.query else ""
                return visit.go_to(f"/sign-in?next={quote(visit.request.url.path + query)}")
            raise Problem(403, "Too small a scope", "Reading needs a token with the scope read.")
        return await show(visit)

    return _answering(handle)


def acting(act: Callable[[Visit, Form], Awaitable[Response]], scope: str | None = "operate") -> Handler:
    """Return the handler of a form that changes something; it needs the scope, and was made by this page."""

    async def handle(visit: Visit) -> Response:
        refuse_other_sites(visit.request)
        if visit.session is None:
            raise Problem(401, "You are signed out", "Sign in, and do it again.")
        if scope is not None and scope not in visit.principal.scopes:
            if visit.principal.reduced:
                raise unavailable("The store is away, and with it what tells whether you may do this.")
            raise Problem(403, "Too small a scope", f"This needs a token with the scope {scope}.")
        form = await read_form(visit)
        if not hmac.compare_digest(form.get("csrf", "").encode(), visit.csrf.encode()):
            raise Problem(403, "The form is not of this session", "Load the page anew.")
        try:
            return await act(visit, form)
        except Exception as error:
            problem = problem_of(error)
            if problem.details.status < 500:
                raise problem from None
            raise InDoubt(problem.details.status, problem.details.title, problem.details.detail) from None

    return _answering(handle)


def open_to_all(handle: Callable[[Visit], Awaitable[Response]]) -> Handler:
    """Return the handler of a part that everybody sees."""
    return _answering(handle)


def refuse_other_sites(request: Request) -> None:
    """Raise a 403 `Problem` if a page of another site sends this form; browsers say which one does."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign:
        raise Problem(403, "The form is of another site")


async def read_form(visit: Visit) -> dict[str, str]:
    """Return the fields of a form, each once.

    Raises:
        Problem: 408, 413, 415 or 422.
    """
    body = await visit.control.limits.bound_body(visit.request, form=True).body()
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError:
        raise Problem(422, "The form cannot be read") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie, which behind TLS no other host can set."""
    return "__Host-golive_session" if request.url.scheme == "https" else "golive_session"


def _answering(handle: Callable[[Visit], Awaitable[Response]]) -> Handler:
    async def answer(request: Request) -> Response:
        visit, over = Visit(request, control_of(request)), False
        try:
            visit, over = await _visit(request)
            response = await handle(visit)
        except Exception as error:
            response = _shown(visit, problem_of(error))
        if over:
            response.delete_cookie(cookie_name(request), secure=request.url.scheme == "https", httponly=True)
        response.headers.update(HEADERS)
        return response

    return answer


async def _visit(request: Request) -> tuple[Visit, bool]:
    """Return who visits, and whether their session is over."""
    control = control_of(request)
    address = request.client.host if request.client else "-"
    session = request.cookies.get(cookie_name(request))
    principal, over = ANONYMOUS, False
    if session:
        try:
            principal = await control.authenticator.session(session, address)
        except Problem as problem:
            if problem.details.status != 401:
                raise
            session, over = None, True
    control.limits.admit(address if principal is ANONYMOUS else principal.name)
    return Visit(request, control, principal, session or None), over


def _shown(visit: Visit, problem: Problem) -> Response:
    details = problem.details
    acted = visit.request.method == "POST"
    in_doubt = isinstance(problem, InDoubt)
    response = visit.page("error.html", details.status, problem=details, acted=acted, in_doubt=in_doubt)
    for name, value in (problem.headers or {}).items():
        if name.lower() != "www-authenticate":
            response.headers[name] = value
    return response
