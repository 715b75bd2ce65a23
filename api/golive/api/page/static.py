"""The page's own style, scripts and icon, and the files of Swagger UI."""

import functools
import hashlib
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_OWN: Final = "golive.api.page"
_SWAGGER: Final = "fastapi_offline"
_FILES: Final = {
    "page.css": (_OWN, "text/css"),
    "page.js": (_OWN, "text/javascript"),
    "docs.js": (_OWN, "text/javascript"),
    "icon.svg": (_OWN, "image/svg+xml"),
    "swagger-ui.css": (_SWAGGER, "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER, "text/javascript"),
}
_FOREVER: Final = "public, max-age=31536000, immutable"


async def serve_static(request: Request) -> Response:
    """Answer with a file; one asked for under its hash is kept for good."""
    name = request.path_params["name"]
    if name not in _FILES:
        return Response("Not found", 404, media_type="text/plain")
    content, version = _file(name)
    current = request.query_params.get("v") == version
    headers = {
        "Cache-Control": _FOREVER if current else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    return Response(content, headers=headers, media_type=_FILES[name][1])


def static_url(name: str) -> str:
    """Return where a file is, below the page's root, under its hash."""
    return f"/static/{name}?v={_file(name)[1]}"


@functools.cache
def _file(name: str) -> tuple[bytes, str]:
    content = resources.files(_FILES[name][0]).joinpath("static", name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]
