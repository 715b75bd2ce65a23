"""The description of the API for people: Swagger UI, of one version and no other, under a strict policy.

It shares its origin with the control-plane page: a script that runs here acts for whoever is signed in there.
So the browser checks the script against its hash, and runs nothing else.
"""

import base64
import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_FILES: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
_SCRIPT: Final = f"{_FILES}/swagger-ui-bundle.js"
_SCRIPT_HASH: Final = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_STYLE: Final = f"{_FILES}/swagger-ui.css"
_STYLE_HASH: Final = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
_START: Final = "SwaggerUIBundle({url: 'openapi.json', dom_id: '#ui', deepLinking: true})"
_START_HASH: Final = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()

_HTML: Final = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>golive API</title>
<link rel="stylesheet" href="{_STYLE}" integrity="{_STYLE_HASH}" crossorigin="anonymous">
</head>
<body>
<div id="ui"><p>The description of the API, as JSON: <a href="openapi.json">openapi.json</a></p></div>
<script src="{_SCRIPT}" integrity="{_SCRIPT_HASH}" crossorigin="anonymous"></script>
<script>{_START}</script>
</body>
</html>
"""
_POLICY: Final = (
    f"default-src 'none'; script-src {_SCRIPT} 'sha256-{_START_HASH}'; style-src {_STYLE}; "
    "img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


async def _show(_: Request) -> HTMLResponse:
    return HTMLResponse(_HTML, headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"})


ROUTE: Final = Route("/api/docs", _show, include_in_schema=False)
