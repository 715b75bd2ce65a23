"""The tables as revision 0001 makes them, kept apart from the models, which go on changing."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)

from golive.models.base import BigId, Json, Money, UtcDateTime

metadata = MetaData()


def _table(name: str, *items: Any) -> None:
    Table(name, metadata, *items, PrimaryKeyConstraint("id", name=f"pk_{name}"))


def _id(*, counted: bool = True) -> Column[int]:
    return Column("id", BigId, nullable=False, autoincrement=counted)


def _required(name: str, type_: Any, default: str | None = None) -> Column[Any]:
    return Column(name, type_, nullable=False, server_default=None if default is None else text(default))


def _flag(name: str, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=true() if default else false())


def _now(name: str) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=False, server_default=func.now())


def _money(name: str) -> Column[Any]:
    return _required(name, Money, "0")


def _context() -> list[Column[Any]]:
    """Who did something, and in which deal and trace."""
    return [
        Column("correlation_id", String(128)),
        Column("actor", String(64)),
        Column("trace_id", String(32)),
    ]


def _edited() -> list[Column[Any]]:
    """Who edited a row last, and why."""
    return [
        Column("changed_by", String(128)),
        Column("reason", Text),
        _required("version", Integer, "1"),
        _now("updated_at"),
    ]


_table(
    "kpi_event",
    _id(counted=False),
    Column("emitter", BigInteger),
    _required("domain", String(32)),
    _required("metric", String(64)),
    Column("success", Boolean),
    Column("value", Double),
    Column("actor", String(64)),
    Column("correlation_id", String(128)),
    Column("detail", Json),
    Column("trace_id", String(32)),
    Column("span_id", String(16)),
    Column("duration_ms", Double),
    _required("created_at", UtcDateTime),
    Index("ix_kpi_event_domain_metric_created_at_id", "domain", "metric", "created_at", "id"),
    Index("ix_kpi_event_correlation_id", "correlation_id"),
)
_table(
    "go_live_state",
    _id(counted=False),
    _flag("go_live_enabled", False),
    _flag("kill_switch_engaged", False),
    *_edited(),
)
_table(
    "risk_policy",
    _id(),
    _required("engine", String(32)),
    _flag("enabled", True),
    _money("max_daily_loss"),
    _money("max_daily_exposure"),
    _money("max_open_risk"),
    _required("max_actions_per_day", Integer, "0"),
    _required("throttle", Double, "1"),
    *_edited(),
    UniqueConstraint("engine", name="uq_risk_policy_engine"),
)
_table(
    "risk_ledger_day",
    _id(),
    _required("day", Date),
    _required("engine", String(32)),
    _money("exposure_used"),
    _money("open_risk_reserved"),
    _money("realized_loss"),
    _required("actions_count", Integer, "0"),
    _required("denials", Integer, "0"),
    _now("updated_at"),
    UniqueConstraint("day", "engine", name="uq_risk_ledger_day_day_engine"),
)
_table(
    "risk_event",
    _id(),
    _required("engine", String(32)),
    Column("day", Date),
    _required("action", String(16)),
    _money("amount"),
    Column("realized_loss", Money),
    _flag("ok", True),
    Column("reason", Text),
    Column("reservation_id", BigInteger),
    *_context(),
    Column("metadata_json", Json),
    _now("created_at"),
    Index("ix_risk_event_engine_day", "engine", "day"),
)
_table(
    "risk_reservation",
    _id(),
    _required("engine", String(32)),
    _required("day", Date),
    _required("amount", Money),
    _required("status", String(16), "'open'"),
    Column("idempotency_key", String(128)),
    Column("fingerprint", String(64)),
    Column("realized_loss", Money),
    Column("reason", Text),
    *_context(),
    _now("created_at"),
    Column("expires_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    UniqueConstraint("idempotency_key", name="uq_risk_reservation_idempotency_key"),
    Index("ix_risk_reservation_engine_status_expires_at", "engine", "status", "expires_at"),
)
_table(
    "heimdall_policy",
    _id(),
    _required("domain", String(32)),
    _required("min_confidence_prod", Double, "0.9"),
    _required("min_sandbox_trials", Integer, "50"),
    _required("min_sandbox_success_rate", Double, "0.8"),
    _flag("prod_use_enabled", False),
    *_edited(),
    UniqueConstraint("domain", name="uq_heimdall_policy_domain"),
)
_table(
    "heimdall_scorecard_day",
    _id(),
    _required("day", Date),
    _required("domain", String(32)),
    _required("trials", Integer, "0"),
    _required("successes", Integer, "0"),
    _required("avg_confidence", Double, "0"),
    _now("updated_at"),
    UniqueConstraint("day", "domain", name="uq_heimdall_scorecard_day_day_domain"),
)
_table(
    "heimdall_recommendation",
    _id(),
    _required("domain", String(32)),
    _required("confidence", Double),
    _required("recommendation_json", Json),
    Column("evidence_json", Json),
    *_context(),
    _flag("prod_eligible", False),
    Column("gate_reason", String(64)),
    _now("created_at"),
)
_table(
    "heimdall_event",
    _id(),
    _required("domain", String(32)),
    _required("event", String(64)),
    _flag("ok", True),
    Column("confidence", Double),
    Column("recommendation_id", BigInteger),
    *_context(),
    Column("detail", Json),
    _now("created_at"),
)
_table(
    "regression_policy",
    _id(),
    _required("domain", String(32)),
    _required("metric", String(64)),
    _required("window_events", Integer, "50"),
    _required("baseline_events", Integer, "200"),
    _required("min_events_to_enforce", Integer, "50"),
    _required("max_drop_fraction", Double, "0.2"),
    _required("mode", String(16), "'threshold'"),
    _required("false_trips", Double, "0.01"),
    _required("action", String(32), "'THROTTLE'"),
    _required("throttle_ladder", Json, "'[0]'"),
    Column("blind_after_s", Double),
    Column("pinned_baseline", Json),
    _flag("shadow", False),
    _flag("enabled", False),
    *_edited(),
    UniqueConstraint("domain", "metric", name="uq_regression_policy_domain_metric"),
)
_table(
    "regression_state",
    _id(),
    _required("domain", String(32)),
    _required("metric", String(64)),
    _flag("triggered", False),
    Column("verdict", String(32)),
    Column("baseline", Double),
    Column("current", Double),
    Column("drop_fraction", Double),
    Column("evidence", Json),
    Column("frozen_baseline", Json),
    _required("trips", Integer, "0"),
    _required("shadow_trips", Integer, "0"),
    Column("last_event_id", BigInteger),
    Column("last_checked_at", UtcDateTime),
    Column("last_triggered_at", UtcDateTime),
    Column("rearmed_at", UtcDateTime),
    Column("rearmed_by", String(128)),
    Column("note", Text),
    _required("version", Integer, "1"),
    UniqueConstraint("domain", "metric", name="uq_regression_state_domain_metric"),
)
_table(
    "governance_audit",
    _id(counted=False),
    _required("actor", String(128)),
    _required("action", String(64)),
    Column("target", String(128)),
    _flag("ok", True),
    Column("before", Json),
    Column("after", Json),
    Column("reason", Text),
    Column("correlation_id", String(128)),
    Column("trace_id", String(32)),
    _now("created_at"),
    _required("prev_hash", String(64)),
    _required("hash", String(64)),
    UniqueConstraint("prev_hash", name="uq_governance_audit_prev_hash"),
)
