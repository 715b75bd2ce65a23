"""PostgreSQL finds the events of a range of time, of whichever streams, without reading the others.

A few bytes for each megabyte of the table, which an insert hardly notices: events come nearly in the order in
which they happened, so that a range of time is a range of pages.
"""

from alembic import op

from golive.migrations.waiting import keep_writers_out

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAME = "ix_kpi_event_created_at"


def upgrade() -> None:
    """Make the index; SQLite has none of its kind, and reads stream by stream."""
    if op.get_bind().dialect.name == "postgresql":
        keep_writers_out(op.get_bind(), "kpi_event")
        op.create_index(
            _NAME,
            "kpi_event",
            ["created_at"],
            postgresql_using="brin",
            # What is newer than the last vacuum, which may be weeks ago, would be read as a whole.
            postgresql_with={"autosummarize": "on"},
            if_not_exists=True,
        )


def downgrade() -> None:
    """Remove it."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(_NAME, "kpi_event")
