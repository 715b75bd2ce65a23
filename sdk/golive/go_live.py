"""The go-live state and its kill switch.

from golive import go_live

go_live.read(db)                                                        # State(go_live_enabled=False, …)
go_live.enable(db, actor="ops", reason="week 1", version=3)             # Blocked, if the runbook has blockers
go_live.engage_kill_switch(db, actor="ops", reason="offers doubled")    # at once, whatever else is wrong
go_live.release_kill_switch(db, actor="ops", reason="mended", version=4)

`db` is what `golive.governance` takes. Each act is a transaction of its own, committed when the call
returns, and a row of the audit trail, the refused ones too.
"""

import logging
from typing import Any, Final

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import SQLAlchemyError

from golive import audit, governance, runbook
from golive.checklist import Checklist, checklist
from golive.errors import Blocked, SchemaError, VersionConflict
from golive.models import GoLiveState
from golive.state import ALL_OFF, STATE_ID, State, read, read_from

__all__ = [
    "Checklist",
    "State",
    "checklist",
    "disable",
    "enable",
    "engage_kill_switch",
    "read",
    "release_kill_switch",
]

_log = logging.getLogger(__name__)

_TARGET: Final = "go_live_state"


def enable(db: object = None, *, actor: str, reason: str, version: int | None = None) -> State:
    """Enable production, if the runbook has no blocker.

    Args:
        db: The database.
        actor: Who; 1 to 128 printable characters.
        reason: Why; 1 to 2,000 characters.
        version: The version of the state the decision was made on; None to not care.

    Raises:
        Blocked: The runbook has blockers; the attempt is in the audit trail, nothing else changed.
        VersionConflict: The state was changed since; the attempt is in the audit trail as well.
        InvalidArgument: `actor` or `reason` is empty or too long.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be written within the deadline.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    try:
        return _enable_unless_blocked(db, actor, reason, version)
    except (Blocked, VersionConflict) as refusal:
        _note_refusal(db, actor, reason, refusal)
        raise


def _enable_unless_blocked(db: object, actor: str, reason: str, version: int | None) -> State:
    blockers = runbook.build_runbook(db)["blockers"]
    if blockers:
        raise Blocked(blockers)
    return _change(db, "go_live.enable", actor, reason, version, go_live_enabled=True)


def disable(db: object = None, *, actor: str, reason: str, version: int | None = None) -> State:
    """Disable production; arguments and errors as for `enable`, but that it is never blocked."""
    return _change(db, "go_live.disable", actor, reason, version, go_live_enabled=False)


def engage_kill_switch(db: object = None, *, actor: str, reason: str) -> State:
    """Stop production at once, whatever the runbook or the version says; arguments as for `enable`.

    Where the audit trail is so damaged that it takes no further row, the act is in the log instead.
    """
    return _change(db, "kill_switch.engage", actor, reason, None, kill_switch_engaged=True)


def release_kill_switch(db: object = None, *, actor: str, reason: str, version: int | None = None) -> State:
    """Release the kill switch; arguments and errors as for `enable`, but that it is never blocked."""
    return _change(db, "kill_switch.release", actor, reason, version, kill_switch_engaged=False)


def _change(db: object, action: str, actor: str, reason: str, version: int | None, **flags: bool) -> State:
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    with governance.acting(db, "switch") as connection:
        return change_in(connection, action, actor, reason, version, **flags)


def change_in(
    connection: Connection, action: str, actor: str, reason: str, version: int | None, **flags: bool
) -> State:
    """Change the state and audit it, in the transaction of `governance.acting`; return the new state."""
    before = read_from(connection)
    if version is not None and version != before.version:
        raise VersionConflict("the go-live state", version, before.version)
    if flags.get("go_live_enabled") and before.kill_switch_engaged:
        raise Blocked([runbook.kill_switch_report(before)])
    after = before._replace(
        **flags,
        changed_by=actor,
        reason=reason,
        version=before.version + 1,
        updated_at=governance.now_of(connection),
    )
    if before is ALL_OFF:
        connection.execute(insert(GoLiveState).values(id=STATE_ID, **after._asdict()))
    else:
        connection.execute(update(GoLiveState).where(GoLiveState.id == STATE_ID).values(after._asdict()))
    audit.append(
        connection,
        actor=actor,
        action=action,
        target=_TARGET,
        before=_shown(before),
        after=_shown(after),
        reason=reason,
        stops=flags.get("kill_switch_engaged", False),
    )
    return after


def _note_refusal(db: object, actor: str, reason: str, refusal: Blocked | VersionConflict) -> None:
    why: dict[str, Any] = (
        {"blockers": [blocker["id"] for blocker in refusal.blockers]}
        if isinstance(refusal, Blocked)
        else {"version": refusal.version}
    )
    try:
        with governance.acting(db) as connection:
            audit.append(
                connection,
                actor=actor,
                action="go_live.enable",
                target=_TARGET,
                ok=False,
                after=why,
                reason=reason,
            )
    except (SQLAlchemyError, SchemaError):  # which is what the blockers say as well
        _log.warning("%s was refused to enable go-live, and the audit trail cannot be written", ascii(actor))


def _shown(state: State) -> dict[str, Any]:
    return {
        "go_live_enabled": state.go_live_enabled,
        "kill_switch_engaged": state.kill_switch_engaged,
        "version": state.version,
    }
