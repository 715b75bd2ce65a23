"""The audit trail, by filter and page, and the state of its chain."""

from typing import Any, Final

import anyio
from starlette.responses import Response

from golive import audit, governance
from golive.api.page.doors import Visit
from golive.api.page.fields import line, moment, whole
from golive.errors import InvalidArgument

PAGE: Final = 50
TAIL: Final = 200
"""How many of the last rows are verified whenever the page is shown."""
_OUTCOMES: Final = {"": None, "done": True, "refused": False}


async def show(visit: Visit) -> Response:
    """Show the acts a filter lets through, the newest first."""
    query = visit.request.query_params
    outcome = query.get("outcome", "")
    if outcome not in _OUTCOMES:
        raise InvalidArgument("outcome", "done or refused", ascii(outcome)[:60])
    wanted: dict[str, Any] = {
        "actor": line(query, "actor", governance.ACTOR_MAX),
        "action": line(query, "action", 64),
        "target": line(query, "target", 128),
        "since": moment(query, "since"),
        "until": moment(query, "until"),
        "ok": _OUTCOMES[outcome],
    }
    before = whole(query, "before")

    def read() -> dict[str, Any]:
        with governance.snapshot(visit.control.engine) as connection:
            found = audit.entries(connection, limit=PAGE + 1, before_id=before, **wanted)
            last_id, verified_id, last = audit.last_verification(connection)
            tail = audit.verify_tail(connection, TAIL)
        return {
            "entries": found[:PAGE],
            "older": found[PAGE - 1].id if len(found) > PAGE else None,
            "last_id": last_id,
            "verified_id": verified_id,
            "last": last,
            "tail": tail,
        }

    filters = {name: query.get(name, "") for name in ("actor", "action", "target", "since", "until")}
    return visit.page(
        "audit.html",
        filters=filters | {"outcome": outcome},
        filtered=any(value is not None for value in wanted.values()),
        before=before,
        **await anyio.to_thread.run_sync(read),
    )
