"""The risk guard and the charter: caps that may be absent, days with a zone, one current ledger an engine."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ACTORS = ("risk_event", "risk_reservation", "heimdall_recommendation", "heimdall_event")
_CAPS = ("max_daily_loss", "max_daily_exposure", "max_open_risk")


def upgrade() -> None:
    """Change both tables in place, every row kept."""
    _free_the_caps()
    _mark_the_current_days()
    _index_the_reservations()
    _widen_the_actors()
    _add(
        "heimdall_policy",
        sa.Column("scorecard_days", sa.Integer, nullable=False, server_default=sa.text("30")),
    )


def downgrade() -> None:
    """Refuse: where a cap is absent, the older schema would have a cap of nothing."""
    raise NotImplementedError("the risk guard's migration cannot be undone")


def _free_the_caps() -> None:
    with op.batch_alter_table("risk_policy") as table:
        for cap in _CAPS:
            table.alter_column(cap, nullable=True, server_default=None)
        table.alter_column("max_actions_per_day", nullable=True, server_default=None)
    _add("risk_policy", sa.Column("time_zone", sa.String(64), nullable=False, server_default="UTC"))
    # The only cap that could be absent, for which the first migration had to write 0. Of the engines seeded
    # without one nobody meant that 0; of any other it may be meant, and goes on to leave no room.
    op.execute(
        "UPDATE risk_policy SET max_open_risk = NULL "
        "WHERE max_open_risk = 0 AND engine IN ('GLOBAL', 'NOTIFY')"
    )


def _mark_the_current_days() -> None:
    _add("risk_ledger_day", sa.Column("is_current", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE risk_ledger_day SET is_current = true WHERE day = "
        "(SELECT max(day) FROM risk_ledger_day AS other WHERE other.engine = risk_ledger_day.engine)"
    )
    current = sa.text("is_current")
    op.create_index(
        "uq_risk_ledger_day_current",
        "risk_ledger_day",
        ["engine"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
        if_not_exists=True,
    )


def _index_the_reservations() -> None:
    op.drop_index("ix_risk_reservation_engine_status_expires_at", "risk_reservation", if_exists=True)
    op.create_index(
        "ix_risk_reservation_engine_amount_status",
        "risk_reservation",
        ["engine", "amount", "status"],
        if_not_exists=True,
    )
    still_open = sa.text("status = 'open'")
    op.create_index(
        "ix_risk_reservation_due",
        "risk_reservation",
        ["expires_at"],
        sqlite_where=still_open,
        postgresql_where=still_open,
        if_not_exists=True,
    )


def _widen_the_actors() -> None:
    for name in _ACTORS:
        with op.batch_alter_table(name) as table:
            table.alter_column("actor", type_=sa.String(128), existing_type=sa.String(64))


def _add(table: str, column: sa.Column[Any]) -> None:
    """Add a column; where a table was made from newer models and adopted, only take its nulls away."""
    there = {found["name"]: found for found in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
    elif there[column.name]["nullable"]:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column.name, nullable=False, existing_type=column.type)
