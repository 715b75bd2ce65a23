"""The go-live state and the kill switch, as forms."""

import functools
from collections.abc import Callable
from typing import Any, Final

import anyio
from starlette.responses import Response

from golive import go_live
from golive.api.page.doors import Form, Visit
from golive.api.page.fields import whole
from golive.api.problems import Problem

_GO_LIVE: Final[dict[str, Callable[..., Any]]] = {"enable": go_live.enable, "disable": go_live.disable}


async def change_go_live(visit: Visit, form: Form) -> Response:
    """Enable or disable production, as it was seen."""
    name = visit.request.path_params["change"]
    act = _GO_LIVE.get(name)
    if act is None:
        raise Problem(404, "Not found")
    make = functools.partial(
        act,
        visit.control.engine,
        actor=visit.principal.name,
        reason=form.get("reason", ""),
        version=whole(form, "version"),
    )
    await anyio.to_thread.run_sync(make)
    return visit.go_to(f"/?done=go-live-{name}")


async def change_kill_switch(visit: Visit, form: Form) -> Response:
    """Engage the kill switch, whatever was seen, or release it, as it was seen."""
    name = visit.request.path_params["change"]
    actor, reason = visit.principal.name, form.get("reason", "")
    if name == "engage":
        # With threads and connections of its own, as the route of the API.
        engage = functools.partial(go_live.engage_kill_switch, actor=actor, reason=reason)
        await anyio.to_thread.run_sync(engage, visit.control.engine, limiter=visit.control.switch_threads)
    elif name == "release":
        version = whole(form, "version")
        release = functools.partial(go_live.release_kill_switch, actor=actor, reason=reason, version=version)
        await anyio.to_thread.run_sync(release, visit.control.engine)
    else:
        raise Problem(404, "Not found")
    return visit.go_to(f"/?done=kill-switch-{name}")
