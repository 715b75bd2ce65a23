"""The description of the API, in Swagger UI; its files come from this service and from nowhere else."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from golive.api.page.doors import HEADERS
from golive.api.page.rendering import render

# Swagger UI sets styles within its elements, and has its icons in its style sheet.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


async def show(request: Request) -> Response:
    """Show it, to everybody, as `openapi.json` is."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    headers = HEADERS | {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(render("docs.html", root=root), headers=headers)
