"""Statements executed by psycopg itself, on a connection of golive's own: built and compiled once.

SQLAlchemy's execution of a statement costs as much as the statement, which is twice too much where locks are
contended. What a statement means, its types among it, is still SQLAlchemy's business.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, TextClause, exc
from sqlalchemy.engine import Dialect

Statement = Select[Any] | TextClause
Processor = Callable[[Any], Any]


def execute(
    connection: Connection, statement: Statement, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Execute a statement that returns rows, and return them.

    Args:
        connection: To PostgreSQL by psycopg, in autocommit.
        statement: Always the same object: it is kept.
        parameters: All it has.

    Raises:
        sqlalchemy.exc.DBAPIError: As `connection` itself would.
    """
    compiled = _compiled(statement, connection.dialect)
    driver: Any = connection.connection.driver_connection
    try:
        cursor = driver.execute(compiled.text, compiled.bound(parameters))
        rows = cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise _as_sqlalchemys(error, compiled.text) from error
    return compiled.loaded(rows, cursor)


class _Compiled:
    """A statement as the driver takes it."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = compiled.string.encode()
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        binds = {name: bind.type.dialect_impl(dialect) for name, bind in compiled.binds.items()}
        self._binds = {
            name: process for name, kind in binds.items() if (process := kind.bind_processor(dialect))
        }
        columns = statement.selected_columns if isinstance(statement, Select) else ()
        self._columns = [column.type.dialect_impl(dialect) for column in columns]
        self._dialect = dialect
        self._loaders: list[tuple[int, Processor]] | None = None

    def bound(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as the driver takes them."""
        values = {**self._constants, **parameters}
        for name, process in self._binds.items():
            values[name] = process(values[name])
        return values

    def loaded(self, rows: list[tuple[Any, ...]], cursor: Any) -> list[tuple[Any, ...]]:
        """Return the cursor's rows with values of the types the statement has."""
        if self._loaders is None:
            made = [
                kind.result_processor(self._dialect, column.type_code)
                for kind, column in zip(self._columns, cursor.description, strict=False)
            ]
            self._loaders = [(index, process) for index, process in enumerate(made) if process is not None]
        if not self._loaders:
            return rows
        return [self._load(row) for row in rows]

    def _load(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for index, process in self._loaders or ():
            values[index] = process(values[index])
        return tuple(values)


_compiled = lru_cache(maxsize=128)(_Compiled)


def _as_sqlalchemys(error: Exception, text: bytes) -> exc.DBAPIError:
    for base in type(error).__mro__:  # the names of its errors are those of PEP 249, and SQLAlchemy's too
        known = getattr(exc, base.__name__, None)
        if isinstance(known, type) and issubclass(known, exc.DBAPIError):
            return known(text.decode(), None, error)
    return exc.DBAPIError(text.decode(), None, error)
