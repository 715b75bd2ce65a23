"""Bearer tokens, and the head of the audit chain."""

from alembic import op

from golive.migrations.schema_0002 import governance_audit_head, metadata

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables; the chain is empty, for nothing wrote to it before."""
    connection = op.get_bind()
    metadata.create_all(connection)
    connection.execute(governance_audit_head.insert().values(id=1, last_id=0, last_hash="0" * 64))


def downgrade() -> None:
    """Remove them, and with them every token."""
    metadata.drop_all(op.get_bind())
