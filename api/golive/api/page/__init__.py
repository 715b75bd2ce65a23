"""The control-plane page: the Monday review at a glance, as HTML made on the server.

from golive.api import page

app.router.routes.extend(page.routes())            # what `create_app` does

Every figure comes from the function the route of the API calls, and every act calls the one its route calls.
Reading needs no JavaScript; a small module of golive's own refreshes what is shown.
"""

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from golive.api.page import audit, correlation, docs, overview, sign_in, switches, tripwire
from golive.api.page.doors import PageRoute, Visit, acting, open_to_all, reading
from golive.api.page.static import serve_static

__all__ = ["routes"]

_FORMS: Final = ("/sign-out", "/go-live/{change}", "/kill-switch/{change}", "/tripwire/{form}")


def routes() -> list[Route]:
    """Return the routes of the page."""
    return [
        PageRoute("/", reading(overview.show, "read", "runbook")),
        PageRoute("/correlation", reading(correlation.show)),
        PageRoute("/tripwire", reading(tripwire.show)),
        PageRoute("/audit", reading(audit.show)),
        PageRoute("/sign-in", open_to_all(sign_in.show)),
        PageRoute("/sign-in", open_to_all(sign_in.sign_in), methods=["POST"]),
        PageRoute("/sign-out", acting(sign_in.sign_out, scope=None), methods=["POST"]),
        PageRoute("/go-live/{change}", acting(switches.change_go_live), methods=["POST"]),
        PageRoute("/kill-switch/{change}", acting(switches.change_kill_switch), methods=["POST"]),
        PageRoute("/tripwire/policy", acting(tripwire.edit), methods=["POST"]),
        PageRoute("/tripwire/rearm", acting(tripwire.rearm), methods=["POST"]),
        PageRoute("/tripwire/backtest", acting(tripwire.backtest), methods=["POST"]),
        *(PageRoute(path, open_to_all(_go_back)) for path in _FORMS),
        PageRoute("/api/docs", docs.show),
        PageRoute("/static/{name}", serve_static),
    ]


async def _go_back(visit: Visit) -> Response:
    """Show the overview to whoever opens the address of a form, which a browser keeps after a refusal."""
    return visit.go_to("/")
