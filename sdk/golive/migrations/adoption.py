"""Makes tables that are missing; brings those an application already has into golive's shape, rows kept.

Columns golive does not know stay as they are, but that rows may leave them out. Times without a zone were
written as UTC. Text where golive has JSON becomes the object or array it spells, or else a JSON string.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Index, MetaData, Table, UniqueConstraint, insert, inspect, select

from golive.migrations import adopt_postgresql, adopt_sqlite
from golive.migrations.ddl import quote

_SUPERSEDED = {"kpi_event": ("ix_kpi_event_domain_metric_created", ["domain", "metric", "created_at"])}
"""Indexes of adopted tables that one of golive's begins with: they would only slow every insert."""


def make_or_adopt(connection: Connection, metadata: MetaData) -> None:
    """Make the tables of `metadata` that are missing and adopt the others."""
    there = set(inspect(connection).get_table_names())
    adopt = adopt_sqlite.adopt if connection.dialect.name == "sqlite" else adopt_postgresql.adopt
    for table in metadata.sorted_tables:
        if table.name in there:
            adopt(connection, table)
            _add_indexes(connection, table)
        else:
            table.create(connection)


def insert_missing(
    connection: Connection, table: Table, key: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert the rows whose key is not there, and touch no other; None is the column's default."""
    there = {tuple(row) for row in connection.execute(select(*(table.c[name] for name in key)))}
    for row in rows:
        if tuple(row[name] for name in key) not in there:
            given = {name: value for name, value in row.items() if value is not None}
            connection.execute(insert(table).values(given))


def _add_indexes(connection: Connection, table: Table) -> None:
    inspector = inspect(connection)
    indexes = inspector.get_indexes(table.name)
    plain = [index for index in indexes if not index.get("dialect_options", {}).get("postgresql_where")]
    unique = [set(index["column_names"]) for index in plain if index["unique"]]
    unique += [set(found["column_names"]) for found in inspector.get_unique_constraints(table.name)]
    unique.append(set(inspector.get_pk_constraint(table.name)["constrained_columns"]))
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint) and set(constraint.columns.keys()) not in unique:
            # As an index, which both databases can add to a table that is there.
            name = str(constraint.name)
            columns = [column.name for column in constraint.columns]
            _create_index(connection, table, name, columns, unique=True)
    ordered = [index["column_names"] for index in plain]
    for index in table.indexes:
        columns = [column.name for column in index.columns]
        if columns not in ordered:
            _create_index(connection, table, str(index.name), columns)
    name, columns = _SUPERSEDED.get(table.name, ("", []))
    if any(index["name"] == name and index["column_names"] == columns for index in indexes):
        connection.exec_driver_sql(f"DROP INDEX {quote(connection.dialect, name)}")


def _create_index(
    connection: Connection, table: Table, name: str, columns: list[str], *, unique: bool = False
) -> None:
    copy = table.to_metadata(MetaData())
    for index in list(copy.indexes):
        copy.indexes.discard(index)
    Index(name, *(copy.c[column] for column in columns), unique=unique).create(connection)
