"""The regression tripwire: whether a blind wire trips, and what an engine had before it was throttled."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from golive.models.base import Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns where they are missing."""
    _add(
        "regression_policy",
        sa.Column("trip_when_blind", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    _add("regression_state", sa.Column("throttled_from", Json))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("regression_state", "throttled_from")
    op.drop_column("regression_policy", "trip_when_blind")


def _add(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless the table was made from newer models and adopted."""
    if column.name not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
