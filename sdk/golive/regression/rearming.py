"""The re-arm: a person releases the latch."""

from golive import audit, governance
from golive.errors import NotTripped, VersionConflict
from golive.events import check_domain, check_metric
from golive.regression import acts
from golive.regression.state import RegressionStateView, locked, state_of, write


def rearm(
    db: object,
    domain: str,
    metric: str,
    *,
    actor: str,
    reason: str,
    version: int | None = None,
    restore_throttle: bool = False,
) -> RegressionStateView:
    """Release the latch of a tripped wire; events up to now count no more.

    What the trip did stays done: the kill switch is released, and a throttle raised, by acts of their own,
    unless `restore_throttle` asks for the latter here. Until `window_events + baseline_events` further events
    the wire is on probation: they are compared with the baseline the trip froze, and a trip goes one step
    further down the ladder.

    Args:
        db: What names the database.
        domain: Of which stream.
        metric: Of which stream.
        actor: Who.
        reason: Why; what was mended.
        version: The version of the state the decision was made on; None to not care.
        restore_throttle: Give the engine back what it had before the trip.

    Raises:
        NotTripped: The wire is not tripped.
        NotRestorable: The throttle cannot be restored; nothing was changed.
        VersionConflict: The latch was set or released since.
        InvalidArgument: An argument is not what it has to be.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    restore = governance.check_flag("restore_throttle", restore_throttle)
    target = f"{check_domain(domain)}/{check_metric(metric)}"
    with governance.acting(db) as connection:
        state = locked(connection, domain, metric)
        if not state.triggered:
            raise NotTripped(f"{target} is not tripped: there is nothing to re-arm")
        if version is not None and version != state.version:
            raise VersionConflict(f"the tripwire {target}", version, state.version)
        done = acts.restore(connection, state, actor, reason) if restore else None
        values = {
            "triggered": False,
            "verdict": None,
            "rearmed_at": governance.now_of(connection),
            "rearmed_by": actor,
            "note": reason,
            "version": state.version + 1,
        }
        write(connection, state, values)
        audit.append(
            connection,
            actor=actor,
            action="regression_state.rearm",
            target=target,
            before={"triggered": True, "trips": state.trips, "version": state.version},
            after={
                "triggered": False,
                "trips": state.trips,
                "version": state.version + 1,
                "done": None if done is None else done.text,
            },
            reason=reason,
        )
        return state_of(connection, domain, metric)
