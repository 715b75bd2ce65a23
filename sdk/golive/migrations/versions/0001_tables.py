"""Make golive's tables, or adopt those that are there."""

from alembic import op

from golive.migrations import adoption, schema_0001
from golive.models.seeds import SEEDS

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make what is missing, bring what is there into shape, and add the seed rows that are not there."""
    connection = op.get_bind()
    adoption.make_or_adopt(connection, schema_0001.metadata)
    for table, (key, rows) in SEEDS.items():
        adoption.insert_missing(connection, schema_0001.metadata.tables[table], key, rows)


def downgrade() -> None:
    """Refuse: the tables may have been there before golive."""
    raise NotImplementedError("golive's first migration cannot be undone; drop its tables by hand")
