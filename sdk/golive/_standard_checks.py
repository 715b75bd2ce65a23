"""The checks every runbook has, in the order it shows them."""

import datetime as dt
import os
import time
from typing import Any, Final

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from golive import audit, database, governance, names, pipeline, readers, settings
from golive.checklist import checklist
from golive.checks import DEFAULT_TIMEOUT_S, Check, CheckFunction, CheckResult, Severity
from golive.models import HeimdallPolicy, RegressionPolicy, RegressionState, RiskPolicy
from golive.models.base import utc_now
from golive.models.risk import GLOBAL
from golive.state import ALL_OFF, State, read_from
from golive.tripwire import BLIND

AUDIT_TAIL: Final = 100
"""How many rows of the audit chain the runbook itself looks at."""
AUDIT_MAX_AGE: Final = dt.timedelta(days=1)
"""How old the last verification of a longer chain may be."""
BACKLOG_MAX_AGE_S: Final = 60.0
LOSS_SHOWN_S: Final = 600.0

_SEED = "Run `golive db upgrade` (or `alembic upgrade head`) to seed the policies."


_OF_TRIPWIRES: Final = ("tripped", "blind", "never_evaluated")


def go_live_checklist(db: Session) -> CheckResult:
    found = checklist(db)
    detail = found._asdict()
    if not found.backend_complete:
        return CheckResult(False, "The backend is not complete: golive's tables cannot be read.", detail)
    if found.missing_packs:
        return CheckResult(False, f"Packs are missing: {', '.join(found.missing_packs)}.", detail)
    return CheckResult(True, "The backend is complete and every required pack is installed.", detail)


def kill_switch_clear(db: Session) -> CheckResult:
    return kill_switch_of(read_from(db.connection()))


def kill_switch_of(state: State) -> CheckResult:
    if state is ALL_OFF:
        return CheckResult(False, "The go-live state has lost its row.")
    detail = {"changed_by": state.changed_by, "reason": state.reason, "updated_at": _iso(state.updated_at)}
    if state.kill_switch_engaged:
        return CheckResult(
            False, f"The kill switch is engaged, by {state.changed_by}: {state.reason}", detail
        )
    return CheckResult(True, "The kill switch is not engaged.")


def env_sanity(db: Session) -> CheckResult:
    expected = {
        "ENV=production": os.environ.get(settings.ENV, "").strip() == settings.PRODUCTION,
        "DATABASE_URL": bool(os.environ.get(settings.DATABASE_URL, "").strip()),
        "GO_LIVE_ENFORCE=1": settings.is_true(os.environ.get(settings.GO_LIVE_ENFORCE, "")),
    }
    missing = [name for name, there in expected.items() if not there]
    if missing:
        return CheckResult(False, f"Not set: {', '.join(missing)}.", {"not_set": missing})
    return CheckResult(True, "ENV, DATABASE_URL and GO_LIVE_ENFORCE are as production needs them.")


def enforcement_expected_in_prod(db: Session) -> CheckResult:
    gate = settings.gate_from_environment()
    detail = {"enforced": gate.enforce}
    if gate.enforce:
        return CheckResult(True, "Requests that act in production are refused while go-live is off.", detail)
    return CheckResult(False, "Not enforced: requests act in production although go-live is off.", detail)


def risk_policies_present(db: Session) -> CheckResult:
    engines = sorted(db.scalars(select(RiskPolicy.engine)))
    if GLOBAL not in engines:
        return CheckResult(False, "The GLOBAL risk policy is missing.", {"engines": engines})
    if len(engines) == 1:
        return CheckResult(False, "No engine has a risk policy.", {"engines": engines})
    return CheckResult(
        True, f"GLOBAL and {len(engines) - 1} engines have a risk policy.", {"engines": engines}
    )


def regression_policies_present(db: Session) -> CheckResult:
    return _counted(db, RegressionPolicy, "regression policies")


def heimdall_charter_present(db: Session) -> CheckResult:
    return _counted(db, HeimdallPolicy, "confidence policies")


def kpi_pipeline_healthy(db: Session) -> CheckResult:
    host = pipeline.host_account(readers.store_of(db))
    now = time.time()
    lost = {
        reason: counted.times
        for reason, counted in host.discarded.items()
        if reason in names.LOSSES and now - counted.last_at_s < LOSS_SHOWN_S
    }
    detail = {
        "spool_events": host.spool_events,
        "spool_oldest_age_s": round(host.spool_oldest_age_s, 3),
        "export_failures": host.failures.times,
        "lost": lost,
    }
    problems = []
    if host.spool_oldest_age_s > BACKLOG_MAX_AGE_S:
        age_s = host.spool_oldest_age_s
        problems.append(f"{host.spool_events} KPI events wait for the store, the oldest for {age_s:.0f} s")
    if now - host.failures.last_at_s < BACKLOG_MAX_AGE_S and host.spool_events:
        problems.append("the store refused the last KPI events, which are tried again")
    if lost:
        problems.append(f"KPI events were lost in the last ten minutes ({', '.join(sorted(lost))})")
    if problems:
        text = "; ".join(problems)
        return CheckResult(False, f"{text[0].upper()}{text[1:]}.", detail)
    return CheckResult(True, "KPI events reach the store.", detail)


def audit_chain_intact(db: Session) -> CheckResult:
    with governance.snapshot(db) as connection:
        tail = audit.verify_tail(connection, AUDIT_TAIL)
        rows, verified_id, last = audit.last_verification(connection)
    detail: dict[str, Any] = {"rows": rows, "verified_rows": verified_id}
    for found in (tail, last):
        if found is not None and not found.ok:
            detail["broken_id"] = found.broken_id
            return CheckResult(
                False, f"The audit chain is broken at row {found.broken_id}: {found.problem}.", detail
            )
    if rows > AUDIT_TAIL and (last is None or abs(utc_now() - last.at) > AUDIT_MAX_AGE):
        return CheckResult(False, f"The audit chain of {rows} rows was not verified for a day.", detail)
    return CheckResult(True, f"The audit chain is intact (rows: {rows}).", detail)


def tripwires_clear(db: Session) -> CheckResult:
    state, policy = RegressionState, RegressionPolicy
    same = and_(policy.domain == state.domain, policy.metric == state.metric)
    tripped = select(state.domain, state.metric).where(state.triggered)
    enabled = select(policy.domain, policy.metric).outerjoin(state, same).where(policy.enabled)
    found = {
        "Tripped": tripped,
        "Blind, for their events have stopped": enabled.where(state.verdict == BLIND, ~state.triggered),
        "Enabled, and never evaluated": enabled.where(state.last_checked_at.is_(None)),
    }
    named = {what: [f"{domain}.{metric}" for domain, metric in db.execute(of)] for what, of in found.items()}
    text = "; ".join(f"{what}: {', '.join(sorted(which))}" for what, which in named.items() if which)
    if text:
        return CheckResult(False, f"{text}.", dict(zip(_OF_TRIPWIRES, named.values(), strict=True)))
    return CheckResult(True, "No tripwire has tripped.")


def _counted(db: Session, model: Any, what: str) -> CheckResult:
    database.check_schema(db.connection())
    count = db.scalar(select(func.count()).select_from(model)) or 0
    return CheckResult(count > 0, f"There are {count or 'no'} {what}.", {"count": count})


def _iso(at: dt.datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _check(function: CheckFunction, severity: Severity, action: str) -> Check:
    return Check(function.__name__, severity, DEFAULT_TIMEOUT_S, action, function)


KILL_SWITCH_CLEAR: Final = _check(
    kill_switch_clear,
    "BLOCKER",
    "Mend what the kill switch was engaged for, then release it via "
    "`/api/governance/go-live/kill-switch/release` or `golive kill-switch release`.",
)
STANDARD_CHECKS: Final = (
    _check(
        go_live_checklist,
        "BLOCKER",
        "Install the missing pack (GOLIVE_REQUIRED_PACKS names them), or complete the backend: start the "
        "database, and run `golive db upgrade`.",
    ),
    KILL_SWITCH_CLEAR,
    _check(env_sanity, "BLOCKER", "Set ENV=production, DATABASE_URL and GO_LIVE_ENFORCE=1."),
    _check(enforcement_expected_in_prod, "INFO", "Set GO_LIVE_ENFORCE=1 where production runs."),
    _check(risk_policies_present, "BLOCKER", _SEED),
    _check(regression_policies_present, "BLOCKER", _SEED),
    _check(heimdall_charter_present, "BLOCKER", _SEED),
    _check(
        kpi_pipeline_healthy,
        "WARNING",
        "See the log for why the store refuses events or the spool loses them, and mend it; waiting events "
        "are delivered by themselves.",
    ),
    _check(
        audit_chain_intact,
        "BLOCKER",
        "Run `golive audit verify`. If a row was altered or removed, find out by whom, and restore it from a "
        "backup.",
    ),
    _check(
        tripwires_clear,
        "WARNING",
        "Look at the evidence, mend the cause, and re-arm the tripwire with a reason: "
        "`golive rearm` or `/api/governance/regression/rearm`. Of a blind one, see why its events stopped.",
    ),
)
