"""Brings an existing PostgreSQL table into golive's shape by one `ALTER TABLE`, so at most one rewrite."""

from typing import Any

from sqlalchemy import Column, Connection, DateTime, Dialect, Numeric, String, Table, Text, inspect
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.engine.interfaces import ReflectedColumn

from golive.migrations.ddl import default_of, quote
from golive.models.base import Json, Money, UtcDateTime

# Text that only looks like JSON, or that JSONB cannot hold (a NUL), stays what it is: a string.
_JSON_OF_TEXT = r"""
CREATE OR REPLACE FUNCTION pg_temp.golive_json(value text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value ~ '^\s*[{[]' THEN
        RETURN value::jsonb;
    END IF;
    RETURN to_jsonb(value);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN to_jsonb(value);
END $$
"""
_INTEGERS = ["SMALLINT", "INTEGER", "BIGINT"]


def adopt(connection: Connection, table: Table) -> None:
    """Bring the table of this name into the shape of `table`."""
    there = {column["name"]: column for column in inspect(connection).get_columns(table.name)}
    changes: list[str] = []
    for column in table.columns:
        if column.name in there:
            changes += _changes(connection.dialect, column, there[column.name])
        else:
            changes.append(f"ADD COLUMN {_definition(connection.dialect, column)}")
    for name, found in there.items():
        if name not in table.columns and not found["nullable"] and not _has_default(found):
            changes.append(f"ALTER COLUMN {quote(connection.dialect, name)} DROP NOT NULL")
    if any("pg_temp.golive_json" in change for change in changes):
        connection.exec_driver_sql(_JSON_OF_TEXT)
    if changes:
        connection.exec_driver_sql(
            f"ALTER TABLE {quote(connection.dialect, table.name)} {', '.join(changes)}"
        )
    if "id" not in there:
        _make_key(connection, table)
    elif table.c.id.autoincrement is True:
        _count_on(connection, table, there["id"])


def _changes(dialect: Dialect, column: Column[Any], found: ReflectedColumn) -> list[str]:
    """Return what makes the column found into `column`: its type, its default, whether it may be null."""
    name = quote(dialect, column.name)
    default = default_of(dialect, column)
    converted = _conversion(dialect, column.type, found["type"], name)
    type_ = found["type"] if converted is None else column.type
    fill = found["nullable"] and not column.nullable and default is not None
    value = converted or name
    if fill:
        value = f"COALESCE({value}, {default})"
    changes: list[str] = []
    if value != name:
        if found["default"] is not None and not _is_counter(found):
            changes.append("DROP DEFAULT")  # it may have no cast to the new type
        changes.append(f"TYPE {type_.compile(dialect)} USING {value}")
    if default is not None:
        changes.append(f"SET DEFAULT {default}")
    if fill:
        changes.append("SET NOT NULL")
    if column.nullable and not found["nullable"]:
        changes.append("DROP NOT NULL")
    return [f"ALTER COLUMN {name} {change}" for change in changes]


def _conversion(dialect: Dialect, new: Any, old: Any, name: str) -> str | None:
    """Return the expression of the new value; None where the column's type will do as it is."""
    if isinstance(new, UtcDateTime):
        aware = isinstance(old, DateTime) and old.timezone
        return None if aware else f"{name}::timestamp AT TIME ZONE 'UTC'"
    if isinstance(new, Money):
        exact = isinstance(old, Numeric) and (old.precision, old.scale) == (18, 2)
        return None if exact else f"ROUND({name}::numeric, 2)"
    if isinstance(new, Json):
        if isinstance(old, JSONB):
            return None
        return f"{name}::jsonb" if isinstance(old, JSON) else f"pg_temp.golive_json({name}::text)"
    if isinstance(new, String) and isinstance(old, String) and _is_as_wide(old, new):
        return None
    was, becomes = old.compile(dialect), new.compile(dialect)
    if was == becomes or (
        {was, becomes} <= set(_INTEGERS) and _INTEGERS.index(was) > _INTEGERS.index(becomes)
    ):
        return None
    return f"{name}::{becomes}"


def _is_as_wide(old: String, new: String) -> bool:
    if old.length is None:
        return True
    return not isinstance(new, Text) and new.length is not None and old.length >= new.length


def _definition(dialect: Dialect, column: Column[Any]) -> str:
    name = quote(dialect, column.name)
    if column.name == "id":
        return f"{name} BIGSERIAL NOT NULL"
    default = default_of(dialect, column)
    definition = f"{name} {column.type.compile(dialect)}"
    if default is not None:
        definition += f" DEFAULT {default}"
        if not column.nullable:
            definition += " NOT NULL"
    return definition


def _make_key(connection: Connection, table: Table) -> None:
    """Make the added id the primary key, or unique where the table has another key."""
    taken = inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
    kind = "UNIQUE" if taken else "PRIMARY KEY"
    connection.exec_driver_sql(f"ALTER TABLE {quote(connection.dialect, table.name)} ADD {kind} (id)")


def _count_on(connection: Connection, table: Table, found: ReflectedColumn) -> None:
    """See to it that ids are counted up, as 64 bits, from above those that are there."""
    name = quote(connection.dialect, table.name)
    if not _has_default(found):
        connection.exec_driver_sql(f"ALTER TABLE {name} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY")
    sequence = connection.exec_driver_sql(
        "SELECT pg_get_serial_sequence(%(table)s, 'id')", {"table": name}
    ).scalar()
    if sequence is None:
        return
    if _is_counter(found):
        connection.exec_driver_sql(f"ALTER SEQUENCE {sequence} AS bigint")
    connection.exec_driver_sql(
        f"SELECT setval(%(sequence)s, MAX(id)) FROM {name} "
        f"HAVING MAX(id) >= (SELECT last_value FROM {sequence})",
        {"sequence": sequence},
    )


def _has_default(found: ReflectedColumn) -> bool:
    return bool(found["default"] is not None or found.get("identity") or found.get("computed"))


def _is_counter(found: ReflectedColumn) -> bool:
    return str(found["default"]).startswith("nextval(")
