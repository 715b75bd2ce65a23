"""The events an evaluation reads: the newest of one stream, in one range of its index."""

import datetime as dt
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, Select, select

from golive.models import KpiEventRow
from golive.tripwire import RATE, Observation, carries, kind_of

LOOKED_AT: Final = 10
"""A stream whose newest events carry another kind, or are cancelled, is looked through for so many times as
many rows as are needed; a kind that is rarer than that has too few events."""

_row = KpiEventRow
COLUMNS: Final = (_row.id, _row.created_at, _row.success, _row.value, _row.trace_id)


def newest(
    connection: Connection,
    domain: str,
    metric: str,
    needed: int,
    *,
    kind: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> list[Observation]:
    """Return the newest events of a stream, the newest first; `needed` rows are read at most.

    Only where some of them do not carry what the stream is judged by, `rate` or `value`, it is read a second
    time, of that kind alone; those events come last.

    Args:
        connection: A connection in a transaction.
        domain: Of which domain.
        metric: Of which metric.
        needed: How many are needed; see `golive.tripwire.events_needed`.
        kind: What they are judged by; what more of them carry if None.
        since: After when.
        until: Before when.
    """
    query = newest_of_any_kind(domain, metric, needed, since=since, until=until)
    found = read(connection, query)
    if len(found) < needed:
        return found
    kind = kind or kind_of(found[::-1], needed)
    if kind is None or sum(carries(event, kind) for event in found) >= needed:
        return found
    there = query.limit(needed * LOOKED_AT).subquery()
    told = (
        there.c.success.is_not(None)
        if kind == RATE
        else there.c.success.is_(None) & there.c.value.is_not(None)
    )
    again = select(there).where(told).order_by(there.c.created_at.desc(), there.c.id.desc()).limit(needed)
    return found + read(connection, again)


def newest_of_any_kind(
    domain: str,
    metric: str,
    limit: int,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> Select[int, dt.datetime, bool | None, float | None, str | None]:
    """Return the query for the newest events of a stream, whatever they carry."""
    return select(*COLUMNS).where(*of(domain, metric, since, until)).order_by(*NEWEST_FIRST).limit(limit)


def read(connection: Connection, query: Executable) -> list[Observation]:
    """Return what a query for `COLUMNS` finds.

    It keeps PostgreSQL, until the end of the transaction, from reading a whole stream in order to sort it:
    that is what it plans for a table it has not analysed yet, of which it expects a handful of rows.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
    return list(map(Observation._make, connection.execute(query).all()))


NEWEST_FIRST: Final = (_row.created_at.desc(), _row.id.desc())


def of(
    domain: str, metric: str, since: dt.datetime | None, until: dt.datetime | None
) -> list[ColumnElement[bool]]:
    """Return the conditions for the events of a stream after `since` and before `until`."""
    conditions: list[Any] = [_row.domain == domain, _row.metric == metric]
    if since is not None:
        conditions.append(_row.created_at > since)
    if until is not None:
        conditions.append(_row.created_at < until)
    return conditions
