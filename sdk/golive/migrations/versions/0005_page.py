"""The sessions of the control-plane page."""

import sqlalchemy as sa
from alembic import op

from golive.models.base import BigId, Json, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "page_session",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("session_hash", sa.String(64), nullable=False),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("token_name", sa.String(64)),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_page_session"),
        sa.UniqueConstraint("session_hash", name="uq_page_session_session_hash"),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Remove it, and with it every session."""
    op.drop_table("page_session")
