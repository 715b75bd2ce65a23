"""The evaluation of a wire: read, judge, write down, and act once where it trips."""

import datetime as dt
import math
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from golive import audit, governance, readers
from golive.errors import GoliveError
from golive.events import check_domain, check_metric
from golive.regression import acts
from golive.regression.judging import Judgement, is_trip, judge
from golive.regression.policy import POLICIES, RegressionPolicyView, policy_of
from golive.regression.state import RegressionStateView, locked, state_of, states, write
from golive.tripwire import Finding


class Evaluation(NamedTuple):
    """What an evaluation found and did.

    Attributes:
        policy: By which policy.
        state: Where the wire stands after it.
        finding: What the events say; None where the policy cannot be applied.
        tripped: Whether this evaluation set the latch, and acted.
        would_trip: Whether it would have, but for shadow mode.
        acts: What was done, in sentences.
        problem: Why the policy cannot be applied.
    """

    policy: RegressionPolicyView
    state: RegressionStateView
    finding: Finding | None
    tripped: bool = False
    would_trip: bool = False
    acts: tuple[str, ...] = ()
    problem: str | None = None


def evaluate_policy(
    db: object,
    domain: str,
    metric: str,
    *,
    now: dt.datetime | None = None,
    up_since: dt.datetime | None = None,
) -> Evaluation:
    """Judge the newest events of a stream by its policy, and trip the wire where they have fallen.

    A trip sets the latch, freezes the baseline, stores the evidence and acts, all in one transaction with its
    rows of the audit trail; of several evaluators at once, in whichever processes, one does so. Whatever else
    is found is only written down, in a short statement of its own. The policy of a disabled wire is applied,
    and nothing is written.

    Args:
        db: What names the database; never part of the caller's transaction.
        domain: Of which stream.
        metric: Of which stream.
        now: What time it is; by default the database's time, whatever this machine's clock says.
        up_since: Since when the service that emits has been up; silence counts from then on. Always if None.

    Raises:
        NoTripwire: There is no such policy.
        InvalidArgument: The policy was not written by golive, and has a figure that cannot be.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read or written within the deadline.
    """
    domain, metric = check_domain(domain), check_metric(metric)
    with governance.snapshot(db) as connection, readers.beside(connection) as reader:
        now = now or governance.now_of(connection)
        policy = policy_of(connection, domain, metric)
        state = state_of(connection, domain, metric)
        judgement = judge(reader, policy, state, now, up_since)
    if not policy.enabled:
        return Evaluation(policy, state, judgement.finding)
    if judgement.trips(policy) and not policy.shadow and not state.triggered:
        with governance.acting(db) as connection:
            return _decide(connection, domain, metric, now, up_since)
    # On PostgreSQL the statement commits by itself: who is stopped here keeps no lock a trip would wait for.
    with governance.engine_for(db, lane="decisions").begin() as connection:
        return _write_down(connection, policy, state, judgement, now)


def evaluate_all(
    db: object = None,
    *,
    now: dt.datetime | None = None,
    up_since: dt.datetime | None = None,
    older_than_s: float | None = None,
) -> list[Evaluation]:
    """Evaluate every enabled policy, each for itself; a policy that cannot be applied is reported as such.

    Where the database fails at one of them, the others have their turn before that is raised.

    Args:
        db: What names the database.
        now: As for `evaluate_policy`.
        up_since: As for `evaluate_policy`.
        older_than_s: Leave out what somebody evaluated within so many seconds.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database cannot be read or written within the deadline.
    """
    with governance.snapshot(db) as connection:
        now = now or governance.now_of(connection)
        enabled = [policy for policy in POLICIES.all(connection) if policy.enabled]
        known = {(state.domain, state.metric): state for state in states(connection)}
    made: list[Evaluation] = []
    failure: SQLAlchemyError | None = None
    for policy in enabled:
        key = policy.domain, policy.metric
        state = known.get(key, RegressionStateView(*key))
        at = state.last_checked_at
        age_s = math.inf if at is None else abs((now - at).total_seconds())  # clocks differ
        if older_than_s is not None and age_s < older_than_s:
            continue
        try:
            made.append(evaluate_policy(db, *key, now=now, up_since=up_since))
        except GoliveError as error:
            made.append(Evaluation(policy, state, None, problem=str(error)))
        except SQLAlchemyError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return made


def _decide(
    connection: Connection, domain: str, metric: str, now: dt.datetime, up_since: dt.datetime | None
) -> Evaluation:
    """Look again, now that nobody else can act, and trip unless somebody has meanwhile."""
    policy = policy_of(connection, domain, metric)
    state = locked(connection, domain, metric)
    with readers.beside(connection) as reader:
        judgement = judge(reader, policy, state, now, up_since)
    if not policy.enabled:
        return Evaluation(policy, state, judgement.finding)
    if state.triggered or policy.shadow or not judgement.trips(policy):
        return _write_down(connection, policy, state, judgement, now)
    return _trip(connection, policy, state, judgement, now)


def _trip(
    connection: Connection,
    policy: RegressionPolicyView,
    state: RegressionStateView,
    judgement: Judgement,
    now: dt.datetime,
) -> Evaluation:
    finding = judgement.finding
    step = 0 if judgement.probation_over else state.trips
    reason = f"{policy.domain}/{policy.metric}: {finding.explanation}"
    done = acts.act(connection, policy, step, reason)
    values = _figures(judgement, now) | {
        "triggered": True,
        "evidence": finding.as_json() | {"acts": [done.text], "policy_version": policy.version},
        "frozen_baseline": _frozen(state, judgement),
        "trips": step + 1,
        "last_triggered_at": now,
        "version": state.version + 1,
    }
    if done.throttled_from is not None:
        values["throttled_from"] = done.throttled_from
    write(connection, state, values)
    audit.append(
        connection,
        actor=acts.ACTOR,
        action="regression_state.trip",
        target=f"{policy.domain}/{policy.metric}",
        before={"triggered": False, "trips": state.trips, "version": state.version},
        after={
            "triggered": True,
            "trips": step + 1,
            "version": state.version + 1,
            "verdict": finding.verdict,
            "baseline": finding.baseline,
            "current": finding.current,
            "drop_fraction": finding.drop_fraction,
            "action": policy.action,
            "done": done.text,
        },
        reason=reason,
        stops=True,
    )
    after = state_of(connection, policy.domain, policy.metric)
    return Evaluation(policy, after, finding, tripped=True, acts=(done.text,))


def _frozen(state: RegressionStateView, judgement: Judgement) -> Any:
    """Return what the trip was measured against; silence is against nothing, and a probation's stays."""
    measured = judgement.finding.measured_against
    if measured is not None:
        return measured.as_json()
    return None if judgement.probation_over else state.frozen_baseline


def _write_down(
    connection: Connection,
    policy: RegressionPolicyView,
    state: RegressionStateView,
    judgement: Judgement,
    now: dt.datetime,
) -> Evaluation:
    """Note the verdict, unless somebody has set or released the latch since it was looked at."""
    values = _figures(judgement, now)
    would_trip = False
    if state.triggered:
        del values["note"]  # which says why it tripped
    else:
        values["evidence"] = judgement.finding.as_json()
        if judgement.probation_over and not judgement.trips(policy):
            values |= {"trips": 0, "frozen_baseline": None}
        # A shadow has no latch: it counts once for as long as its verdict lasts.
        would_trip = policy.shadow and judgement.trips(policy)
        if would_trip and not is_trip(policy, state.verdict):
            counted = state.shadow_trips + 1
            values |= {"shadow_trips": counted, "last_triggered_at": now, "version": state.version + 1}
    write(connection, state, values)
    after = state_of(connection, policy.domain, policy.metric)
    return Evaluation(policy, after, judgement.finding, would_trip=would_trip)


def _figures(judgement: Judgement, now: dt.datetime) -> dict[str, Any]:
    finding = judgement.finding
    return {
        "verdict": finding.verdict,
        "baseline": finding.baseline,
        "current": finding.current,
        "drop_fraction": finding.drop_fraction,
        "last_event_id": judgement.last_event_id,
        "last_checked_at": now,
        "note": finding.explanation,
    }
