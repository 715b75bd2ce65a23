"""Brings an existing SQLite table into golive's shape, by a copy: SQLite cannot alter a column."""

import datetime as dt
import json
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NoReturn

from sqlalchemy import VARCHAR, Column, Connection, MetaData, String, Table, inspect, text
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from golive.migrations.ddl import default_of, quote
from golive.models.base import Json, Money, UtcDateTime

_OLD = "_golive_adopted_"


def adopt(connection: Connection, table: Table) -> None:
    """Bring the table of this name into the shape of `table`."""
    there = {column["name"]: column for column in inspect(connection).get_columns(table.name)}
    if _fits(connection, table, there):
        return
    old = quote(connection.dialect, _OLD + table.name)
    name = quote(connection.dialect, table.name)
    indexes_and_triggers = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :name AND type != 'table' AND sql > ''"),
        {"name": table.name},
    ).all()
    # Without it, SQLite would turn what refers to this table (views, keys) to the old copy.
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {old}")
    connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")
    connection.execute(CreateTable(_shape(table, there)))
    _copy(connection, table, there, old, name)
    connection.exec_driver_sql(f"DROP TABLE {old}")
    ours = {index.name for index in table.indexes}
    for index_or_trigger, statement in indexes_and_triggers:
        if index_or_trigger not in ours:
            connection.exec_driver_sql(statement)


def _fits(connection: Connection, table: Table, there: dict[str, ReflectedColumn]) -> bool:
    """Return whether the table has all of golive's columns as golive makes them, and asks for no others."""
    if inspect(connection).get_pk_constraint(table.name)["constrained_columns"] != ["id"]:
        return False
    for column in table.columns:
        found = there.get(column.name)
        if found is None:
            return False
        if not _same_type(connection, found["type"], column.type) or found["nullable"] != column.nullable:
            return False
    return not any(
        name not in table.columns and not found["nullable"] and found["default"] is None
        for name, found in there.items()
    )


def _same_type(connection: Connection, found: TypeEngine[Any], ours: TypeEngine[Any]) -> bool:
    """Return whether a column can stay: of golive's type, or longer, as newer models may have it."""
    if isinstance(found, VARCHAR) and isinstance(ours, String) and found.length and ours.length:
        return found.length >= ours.length
    return found.compile(connection.dialect) == ours.compile(connection.dialect)


def _shape(table: Table, there: dict[str, ReflectedColumn]) -> Table:
    """Return `table` with the unknown columns of the one there, and no stricter than its rows allow."""
    shape = table.to_metadata(MetaData())
    for column in shape.columns:
        found = there.get(column.name)
        has_nulls = found is None or (found["nullable"] and not column.primary_key)
        if has_nulls and column.server_default is None and not column.primary_key:
            column.nullable = True
    for name, found in there.items():
        if name not in shape.columns:
            default = None if found["default"] is None else text(f"({found['default']})")
            shape.append_column(Column(name, found["type"], server_default=default))
    return shape


def _copy(
    connection: Connection, table: Table, there: dict[str, ReflectedColumn], old: str, new: str
) -> None:
    driver: Any = connection.connection.driver_connection
    driver.create_function("golive_time", 1, _time, deterministic=True)
    driver.create_function("golive_json", 1, _json, deterministic=True)
    driver.create_function("golive_cents", 1, _cents, deterministic=True)
    columns = ", ".join(quote(connection.dialect, name) for name in there)
    values = ", ".join(_value(connection, table, name, found) for name, found in there.items())
    connection.exec_driver_sql(f"INSERT INTO {new} ({columns}) SELECT {values} FROM {old}")


def _value(connection: Connection, table: Table, name: str, found: ReflectedColumn) -> str:
    """Return the expression of a column's new value."""
    value = quote(connection.dialect, name)
    column = table.columns.get(name)
    if column is None:
        return value
    was = found["type"].compile(connection.dialect)
    if isinstance(column.type, UtcDateTime):
        value = f"golive_time({value})"
    elif isinstance(column.type, Json) and was != "JSON":
        value = f"golive_json({value})"
    elif isinstance(column.type, Money) and was != "BIGINT":  # what only golive keeps cents in
        value = f"golive_cents({value})"
    default = default_of(connection.dialect, column)
    if not column.nullable and default is not None:
        value = f"COALESCE({value}, {default})"
    return value


def _time(value: Any) -> Any:
    """Return a time as SQLAlchemy writes it, in UTC; what is no time as it is."""
    try:
        time = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    if time.tzinfo is not None:
        time = time.astimezone(dt.UTC).replace(tzinfo=None)
    return time.isoformat(" ", "microseconds")


def _json(value: Any) -> Any:
    """Return the object or array a text spells as it is, and any other value as JSON."""
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        if isinstance(value, str) and isinstance(json.loads(value, parse_constant=_refuse), dict | list):
            return value
    except (ValueError, RecursionError):
        pass
    return json.dumps(value)


def _cents(value: Any) -> Any:
    if value is None:
        return None
    return int((Decimal(str(value)) * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
