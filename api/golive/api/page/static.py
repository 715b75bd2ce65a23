"""The page's own style, script and icon."""

import functools
import hashlib
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"


async def serve_static(request: Request) -> Response:
    """Answer with a file; one asked for under its hash is kept for good."""
    name = request.path_params["name"]
    if name not in _TYPES:
        return Response("Not found", 404, media_type="text/plain")
    content, version = _file(name)
    current = request.query_params.get("v") == version
    headers = {
        "Cache-Control": _FOREVER if current else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    return Response(content, headers=headers, media_type=_TYPES[name])


def static_url(name: str) -> str:
    """Return where a file is, below the page's root, under its hash."""
    return f"/static/{name}?v={_file(name)[1]}"


@functools.cache
def _file(name: str) -> tuple[bytes, str]:
    content = resources.files("golive.api.page").joinpath("static", name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]
