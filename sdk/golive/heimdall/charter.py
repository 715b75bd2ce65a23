"""What is done under the charter: trials, recommendations, their use in production, promotions."""

import datetime as dt
from typing import Any

from sqlalchemy import Connection, insert

from golive import audit, governance, pipeline
from golive.correlation import current_correlation_id, current_trace_id
from golive.errors import InvalidArgument, NotEligible
from golive.events import check_correlation_id, check_domain
from golive.heimdall import scorecard
from golive.heimdall.gate import Ineligibility, ineligibility, unproven
from golive.heimdall.policy import POLICIES, HeimdallPolicyView, check_share
from golive.heimdall.recommendations import Recommendation, by_id, check_json
from golive.heimdall.scorecard import Scorecard
from golive.joining import apart, joined
from golive.models import HeimdallEvent, HeimdallRecommendation


def heimdall_sandbox_trial(
    db: object,
    domain: str,
    *,
    success: bool,
    confidence: float,
    actor: str | None = None,
    correlation_id: str | None = None,
    detail: Any = None,
) -> None:
    """Book one sandbox trial on today's scorecard of a domain.

    Args:
        db: A SQLAlchemy session, whose transaction the trial belongs to, and which then locks the scorecard
            of the day until its end; or what else names the database.
        domain: Of what.
        success: How it went.
        confidence: How sure whoever recommended was, 0 to 1.
        actor: Who.
        correlation_id: The one in force by default.
        detail: A JSON value.

    Raises:
        InvalidArgument: An argument is not what it has to be.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be asked: nothing was booked.
    """
    event = _event("sandbox_trial", domain, actor, correlation_id) | {
        "ok": governance.check_flag("success", success),
        "confidence": check_share("confidence", confidence),
        "detail": None if detail is None else check_json("detail", detail),
    }
    with joined(db) as work, work.several() as connection:
        now = governance.now_of(connection)
        scorecard.add(connection, domain, event["ok"], event["confidence"], now)
        _record(connection, event, now)


def heimdall_recommend(
    db: object,
    domain: str,
    confidence: float,
    recommendation: Any,
    *,
    evidence: Any = None,
    actor: str | None = None,
    correlation_id: str | None = None,
) -> Recommendation:
    """Record a recommendation, with what the gate says of it now.

    Args:
        db: As for `heimdall_sandbox_trial`.
        domain: Of what.
        confidence: How sure whoever recommends is, 0 to 1.
        recommendation: What to do: a JSON value but null, kept exactly.
        evidence: What it rests on: a JSON value.
        actor: Who recommends.
        correlation_id: The one in force by default.

    Raises:
        InvalidArgument: An argument is not what it has to be, as a confidence of NaN or 1.1.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be asked: nothing was recorded.
    """
    origin = _origin(actor, correlation_id)
    domain = check_domain(domain)
    confidence = check_share("confidence", confidence)
    if recommendation is None:
        raise InvalidArgument("recommendation", "a JSON value but null", "None")
    recommendation = check_json("recommendation", recommendation)
    evidence = None if evidence is None else check_json("evidence", evidence)
    with joined(db) as work:
        now = governance.now_of(work.connection)
        refused = ineligibility(*_standing(work.connection, domain, now), confidence)
        made = Recommendation(
            id=pipeline.next_id(),
            domain=domain,
            confidence=confidence,
            recommendation_json=recommendation,
            evidence_json=evidence,
            prod_eligible=refused is None,
            gate_reason=None if refused is None else refused.reason,
            created_at=now,
            **origin,
        )
        work.connection.execute(insert(HeimdallRecommendation).values(made._asdict()))
    return made


def heimdall_require_prod_eligible(
    db: object, recommendation_id: int, *, actor: str | None = None, correlation_id: str | None = None
) -> Recommendation:
    """Return a recommendation production may use now, or raise.

    It must have passed the gate when it was made, and pass it now: under today's policy, with today's
    scorecard. Either way the decision is recorded; a refusal at once, or right after the caller's transaction
    where that holds locks.

    Args:
        db: As for `heimdall_sandbox_trial`.
        recommendation_id: Which one.
        actor: Who is about to use it.
        correlation_id: The one in force by default.

    Raises:
        NotEligible: Production may not use it, or there is none with this id.
        InvalidArgument: An argument is not what it has to be.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be asked: do not use it.
    """
    if isinstance(recommendation_id, bool) or not isinstance(recommendation_id, int):
        raise InvalidArgument("recommendation_id", "an int", repr(recommendation_id)[:60])
    what = f"recommendation {recommendation_id}"
    origin = _origin(actor, correlation_id)
    with joined(db) as work:
        now = governance.now_of(work.connection)
        made = by_id(work.connection, recommendation_id) if 0 <= recommendation_id < 1 << 63 else None
        if made is None:
            raise NotEligible(what, NotEligible.UNKNOWN, "there is none with this id")
        refused = _refused_at_creation(made)
        if refused is None:
            refused = ineligibility(*_standing(work.connection, made.domain, now), made.confidence)
        event = _use(made, refused) | origin
        if refused is None:
            _record(work.connection, event, now)
            return made
    apart(db, lambda own: _record(own.connection, event, now))
    raise NotEligible(what, *refused)


def heimdall_promote(
    db: object = None, *, domain: str, actor: str, reason: str, version: int | None = None
) -> HeimdallPolicyView:
    """Let production use the recommendations of a domain, if its scorecard has earned it.

    A transaction of golive's own, and a row of the audit trail, refused or not.

    Args:
        db: What names the database.
        domain: Which one.
        actor: Who.
        reason: Why.
        version: The version of the policy the decision was made on; None to not care.

    Raises:
        NotEligible: There is no policy, or the scorecard does not do; the attempt is in the audit trail,
            nothing else changed.
        VersionConflict: The policy was changed since.
        InvalidArgument: An argument is not what it has to be.
    """
    actor, reason = governance.check_actor(actor), governance.check_reason(reason)
    event = _event("promotion", domain, actor, None)
    with governance.acting(db) as connection:
        now = governance.now_of(connection)
        policy, card = _standing(connection, domain, now)
        refused = unproven(policy, card)
        detail = _shown(card) | ({} if refused is None else refused._asdict())
        _record(connection, event | {"ok": refused is None, "detail": detail}, now)
        if refused is None:
            enabled = {"prod_use_enabled": True}
            return POLICIES.put(
                connection, [domain], enabled, actor=actor, reason=reason, version=version, action="promote"
            )
        audit.append(
            connection,
            actor=actor,
            action="heimdall_policy.promote",
            target=domain,
            ok=False,
            after=detail,
            reason=reason,
        )
    raise NotEligible(domain, *refused)


def _standing(
    connection: Connection, domain: str, now: dt.datetime
) -> tuple[HeimdallPolicyView | None, Scorecard]:
    policy = POLICIES.get(connection, domain)
    if policy is None:
        return None, Scorecard(domain, now.date())
    return policy, scorecard.scorecard(connection, domain, policy.scorecard_days, now.date())


def _refused_at_creation(made: Recommendation) -> Ineligibility | None:
    if made.prod_eligible:
        return None
    return Ineligibility(made.gate_reason or "unknown", "it was refused when it was made")


def _event(name: str, domain: str, actor: object, correlation_id: object) -> dict[str, Any]:
    return {"event": name, "domain": check_domain(domain)} | _origin(actor, correlation_id)


def _use(made: Recommendation, refused: Ineligibility | None) -> dict[str, Any]:
    return {
        "event": "prod_use",
        "domain": made.domain,
        "confidence": made.confidence,
        "recommendation_id": made.id,
        "ok": refused is None,
        "detail": None if refused is None else refused._asdict(),
    }


def _origin(actor: object, correlation_id: object) -> dict[str, Any]:
    """Return who does it, in which deal and trace, as the tables have it."""
    return {
        "actor": None if actor is None else governance.check_actor(actor),
        "correlation_id": check_correlation_id(correlation_id) or current_correlation_id(),
        "trace_id": current_trace_id(),
    }


def _record(connection: Connection, event: dict[str, Any], now: dt.datetime) -> None:
    connection.execute(insert(HeimdallEvent).values(event | {"created_at": now}))


def _shown(card: Scorecard) -> dict[str, Any]:
    return {"trials": card.trials, "successes": card.successes, "success_rate": card.success_rate}
