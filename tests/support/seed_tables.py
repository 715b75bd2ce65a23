"""Tables as an application had them before golive: integer ids, naive times, money as floats, fewer columns."""

import datetime as dt
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    text,
)

OLD_REVISION = "20260113_regression_tripwire"
"""A revision of the application's own migrations, of which golive knows nothing."""

WHEN = dt.datetime(2026, 1, 13, 9, 30, 0, 250_000)

DETAILS: dict[int, tuple[str | None, Any]] = {
    1: (None, None),
    2: ('{"reason": "low_motivation", "score": 0.32}', {"reason": "low_motivation", "score": 0.32}),
    3: ("[1, 2, 3]", [1, 2, 3]),
    4: ("manual override", "manual override"),
    5: ("123", "123"),
    6: ("true", "true"),
    7: ("null", "null"),
    8: ('"quoted"', '"quoted"'),
    9: ("{oops", "{oops"),
    10: ("", ""),
    11: ("[]", []),
    12: ('{"naïve": "ü\\n"}', {"naïve": "ü\n"}),
    13: ('{"rate": NaN}', '{"rate": NaN}'),
    14: ("a 'quoted' \\ 100% ünï", "a 'quoted' \\ 100% ünï"),
    15: ('{"cut off": "' + "x" * 490, '{"cut off": "' + "x" * 490),
}
"""For each id of `kpi_event`: its detail as the old column had it, and what it must be afterwards."""

metadata = MetaData()


def _edited() -> list[Column[Any]]:
    return [
        Column("changed_by", String),
        Column("reason", String),
        Column("updated_at", DateTime, nullable=False),
    ]


Table(
    "kpi_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String(32), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("success", Boolean),
    Column("value", Float),
    Column("actor", String(64)),
    Column("correlation_id", String(100)),
    Column("detail", String(512), server_default=""),
    Column("created_at", DateTime, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Index("ix_kpi_event_domain_metric_created", "domain", "metric", "created_at"),
)
Table(
    "go_live_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("go_live_enabled", Boolean, nullable=False),
    Column("kill_switch_engaged", Boolean, nullable=False),
    *_edited(),
)
Table(
    "risk_policy",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("engine", String, nullable=False),
    Column("max_daily_loss", Float, nullable=False),
    Column("max_daily_exposure", Float, nullable=False),
    Column("max_open_risk", Float),
    Column("max_actions_per_day", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    *_edited(),
    UniqueConstraint("engine", name="ux_risk_policy"),
)
Table(
    "risk_ledger_day",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False),
    Column("engine", String, nullable=False),
    Column("exposure_used", Float, nullable=False),
    Column("open_risk_reserved", Float, nullable=False),
    Column("realized_loss", Float, nullable=False),
    Column("actions_count", Integer, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)
Table(
    "risk_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("engine", String(16), nullable=False),
    Column("action", String, nullable=False),
    Column("amount", Float, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("reason", String),
    Column("correlation_id", String),
    Column("actor", String),
    Column("metadata_json", Text),
    Column("created_at", DateTime, nullable=False),
)
Table(
    "heimdall_policy",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String, nullable=False, unique=True),
    Column("min_confidence_prod", Float, nullable=False),
    Column("min_sandbox_trials", Integer, nullable=False),
    Column("min_sandbox_success_rate", Float, nullable=False),
    Column("prod_use_enabled", Boolean, nullable=False),
    *_edited(),
)
Table(
    "heimdall_scorecard_day",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False),
    Column("domain", String, nullable=False),
    Column("trials", Integer, nullable=False),
    Column("successes", Integer, nullable=False),
    Column("success_rate", Float, nullable=False),  # golive has no such column, and leaves it out
    Column("avg_confidence", Float, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    UniqueConstraint("day", "domain"),
)
Table(
    "heimdall_recommendation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("recommendation_json", Text, nullable=False),
    Column("evidence_json", Text),
    Column("correlation_id", String),
    Column("actor", String),
    Column("prod_eligible", Boolean, nullable=False),
    Column("gate_reason", String),
    Column("created_at", DateTime, nullable=False),
)
Table(
    "heimdall_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String, nullable=False),
    Column("event", String, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("confidence", Float),
    Column("recommendation_id", Integer),
    Column("correlation_id", String),
    Column("actor", String),
    Column("detail", Text),
    Column("created_at", DateTime, nullable=False),
)
Table(
    "regression_policy",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String(32), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("window_events", Integer, nullable=False, server_default="50"),
    Column("baseline_events", Integer, nullable=False, server_default="200"),
    Column("min_events_to_enforce", Integer, nullable=False, server_default="50"),
    Column("max_drop_fraction", Float, nullable=False, server_default="0.20"),
    Column("action", String(32), nullable=False, server_default="THROTTLE"),
    Column("enabled", Boolean, nullable=False),
    *_edited(),
    UniqueConstraint("domain", "metric", name="ux_regression_policy_domain_metric"),
)
Table(
    "regression_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("domain", String(32), nullable=False),
    Column("metric", String(64), nullable=False),
    Column("triggered", Boolean, nullable=False),
    Column("baseline", Float),
    Column("current", Float),
    Column("drop_fraction", Float),
    Column("last_checked_at", DateTime),
    Column("last_triggered_at", DateTime),
    Column("note", String(512)),
    UniqueConstraint("domain", "metric", name="ux_regression_state_domain_metric"),
)
Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
)

_ROWS: dict[str, list[dict[str, Any]]] = {
    "alembic_version": [{"version_num": OLD_REVISION}],
    "kpi_event": [
        {
            "id": id_,
            "domain": "WHOLESALE",
            "metric": "offer_sent",
            "success": (True, False, None)[id_ % 3],
            "value": 2500.5 if id_ % 3 == 2 else None,
            "actor": "broker",
            "correlation_id": f"deal_{id_}",
            "detail": detail,
            "created_at": WHEN + dt.timedelta(minutes=id_),
        }
        for id_, (detail, _) in DETAILS.items()
    ],
    "go_live_state": [
        {"id": 1, "go_live_enabled": True, "kill_switch_engaged": False, "changed_by": "bryan"}
    ],
    "risk_policy": [
        {
            "id": 1,
            "engine": "GLOBAL",
            "max_daily_loss": 99.1,
            "max_daily_exposure": 1234.56,
            "max_open_risk": None,
            "max_actions_per_day": 7,
            "enabled": True,
            "changed_by": "bryan",
            "reason": "tightened",
        },
    ],
    "risk_ledger_day": [
        {
            "id": 1,
            "day": WHEN.date(),
            "engine": "WHOLESALE",
            "exposure_used": 0.1 + 0.2,
            "open_risk_reserved": 10,
            "realized_loss": 0.07,
            "actions_count": 3,
        }
    ],
    "risk_event": [
        {
            "id": 41,
            "engine": "WHOLESALE",
            "action": "RESERVE",
            "amount": 19.99,
            "ok": True,
            "metadata_json": '{"deal": 123}',
            "created_at": WHEN,
        }
    ],
    "heimdall_policy": [
        {
            "id": 1,
            "domain": "BUYER_MATCH",
            "min_confidence_prod": 0.99,
            "min_sandbox_trials": 5,
            "min_sandbox_success_rate": 0.5,
            "prod_use_enabled": True,
            "changed_by": "bryan",
        }
    ],
    "heimdall_scorecard_day": [
        {
            "id": 1,
            "day": WHEN.date(),
            "domain": "BUYER_MATCH",
            "trials": 4,
            "successes": 3,
            "success_rate": 0.75,
            "avg_confidence": 0.93,
        }
    ],
    "heimdall_recommendation": [
        {
            "id": 1,
            "domain": "BUYER_MATCH",
            "confidence": 0.93,
            "recommendation_json": '{"buyer": 7}',
            "prod_eligible": False,
            "gate_reason": "prod_use_disabled",
            "created_at": WHEN,
        }
    ],
    "heimdall_event": [
        {
            "id": 1,
            "domain": "BUYER_MATCH",
            "event": "SANDBOX_TRIAL",
            "ok": True,
            "detail": "won",
            "created_at": WHEN,
        }
    ],
    "regression_policy": [
        {
            "id": 1,
            "domain": "WHOLESALE",
            "metric": "contract_rate",
            "max_drop_fraction": 0.1,
            "enabled": True,
            "changed_by": "bryan",
        }
    ],
    "regression_state": [
        {
            "id": 1,
            "domain": "WHOLESALE",
            "metric": "contract_rate",
            "triggered": True,
            "baseline": 0.95,
            "current": 0.75,
            "drop_fraction": 0.211,
            "last_checked_at": WHEN,
            "note": "TRIGGERED",
        }
    ],
}


def make(connection: Connection) -> None:
    """Make the tables, with a row or more in each; ids are given by hand, so that sequences lag behind."""
    metadata.create_all(connection)
    for name, rows in _ROWS.items():
        table = metadata.tables[name]
        for row in rows:
            times = {"updated_at": WHEN} if "updated_at" in table.columns else {}
            connection.execute(insert(table).values({**row, **times}))


def counts(connection: Connection) -> dict[str, int]:
    """Return how many rows each of the tables has."""
    return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in _ROWS}
