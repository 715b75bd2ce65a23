"""The HTTP service.

from golive.api import create_app, router

app = create_app("postgresql://…")                      # the whole service, as `golive serve` runs it
my_app.include_router(router, prefix="/api")            # or its routes in an application of your own
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from golive.api.app import create_app, router

__all__ = ["create_app", "router"]


def __getattr__(name: str) -> Any:
    # At first use: `golive.api.production` alone need not load the service.
    if name in __all__:
        from golive.api import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
