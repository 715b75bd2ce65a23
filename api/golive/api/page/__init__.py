"""The control-plane page: the Monday review at a glance, as HTML made on the server.

from golive.api import page

app.router.routes.extend(page.routes())            # what `create_app` does

Every figure comes from the function the route of the API calls, and every act calls the one its route calls.
Reading needs no JavaScript; a small module of golive's own refreshes what is shown.
"""

from starlette.routing import Route

from golive.api.page import audit, correlation, docs, overview, sign_in, switches, tripwire
from golive.api.page.doors import PageRoute, acting, open_to_all, reading
from golive.api.page.static import serve_static

__all__ = ["routes"]


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
        PageRoute("/api/docs", docs.show),
        PageRoute("/static/{name}", serve_static),
    ]
