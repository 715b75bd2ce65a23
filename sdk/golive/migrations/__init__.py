"""The Alembic migrations of golive's tables; `golive.database.upgrade` runs them."""
