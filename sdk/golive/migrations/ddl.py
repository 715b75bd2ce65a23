"""Pieces of DDL that Alembic and SQLAlchemy offer no way to put into a statement of one's own."""

from typing import Any

from sqlalchemy import Column, Dialect


def quote(dialect: Dialect, name: str) -> str:
    """Return a name as the database must see it."""
    return dialect.identifier_preparer.quote(name)


def default_of(dialect: Dialect, column: Column[Any]) -> str | None:
    """Return a column's default as SQL, or None."""
    compiler: Any = dialect.ddl_compiler
    default: str | None = compiler(dialect, None).get_column_default_string(column)
    return default
