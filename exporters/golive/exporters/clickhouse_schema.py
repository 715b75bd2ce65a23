"""golive's tables in ClickHouse: on one server, or on every server of a cluster.

    from golive.exporters import clickhouse_schema

    clickhouse_schema.upgrade(url)                         # what `golive db upgrade` does
    print(";\\n".join(clickhouse_schema.statements("golive", cluster="main")))

The key of `kpi_event` begins as a tripwire asks: its windows are one range of it, read from the end. It ends
with the event's id and fingerprint: rows that agree in all of it are one event written twice, of which a
merge leaves one, and a read shows one before. A second table has the events that carry a correlation id by
that id; a materialized view fills it. Months are partitions, so that old ones can be dropped as a whole.
"""

from typing import Final

from sqlalchemy import URL

from golive.exporters._clickhouse import CLUSTER, connect, told

__all__ = ["COLUMNS", "statements", "upgrade"]

COLUMNS: Final = {
    "id": "Int64",
    "fingerprint": "UInt64",
    "emitter": "Int64",
    "domain": "LowCardinality(String)",
    "metric": "LowCardinality(String)",
    "success": "Nullable(Bool)",
    "value": "Nullable(Float64)",
    "actor": "Nullable(String)",
    "correlation_id": "Nullable(String)",
    "detail": "Nullable(String)",
    "trace_id": "Nullable(String)",
    "span_id": "Nullable(String)",
    "duration_ms": "Nullable(Float64)",
    "created_at": "DateTime64(6, 'UTC')",
}
"""The columns of `kpi_event`, and their types."""

_BY_STREAM: Final = "domain, metric, created_at, id, fingerprint"
_BY_CORRELATION: Final = "correlation_id, created_at, id, fingerprint"
# Within a millisecond ids stand for the time, so that few granules have to be read to find one.
_ID_INDEX: Final = ",\n    INDEX by_id id TYPE minmax GRANULARITY 1"
# A day of a stream, a timeline: a quarter of the usual 8,192 rows, so that little else is read with them.
_GRANULARITY: Final = "index_granularity = 2048"
_DEADLINE_S: Final = 180.0


def statements(database: str, cluster: str | None = None) -> list[str]:
    """Return the statements that make the tables; each may be run again.

    Args:
        database: The name of the database.
        cluster: Where there is one: each shard has a replicated table `…_local`, and the tables golive uses
            spread what is written over the shards by fingerprint, so that an event written twice comes to
            the same one.
    """
    where = _quoted(database)
    on = f" ON CLUSTER {_quoted(cluster)}" if cluster else ""
    local = "_local" if cluster else ""
    # One server flushes to disk before it answers; in a cluster the replicas are what survives a power cut.
    kept = _GRANULARITY if cluster else f"{_GRANULARITY}, fsync_after_insert = 1"
    correlated = COLUMNS | {"correlation_id": "String"}
    selected = ", ".join(
        f"assumeNotNull({name}) AS {name}" if name == "correlation_id" else name for name in COLUMNS
    )

    def table(name: str, columns: dict[str, str], index: str, order: str) -> str:
        listed = ",\n    ".join(f"{column} {type_}" for column, type_ in columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {where}.{name}{local}{on}\n(\n    {listed}{index}\n)\n"
            f"ENGINE = {_engine(cluster)}\nPARTITION BY toYYYYMM(created_at)\nORDER BY ({order})\n"
            f"SETTINGS {kept}"
        )

    made = [
        f"CREATE DATABASE IF NOT EXISTS {where}{on}",
        table("kpi_event", COLUMNS, _ID_INDEX, _BY_STREAM),
        table("kpi_event_by_correlation", correlated, "", _BY_CORRELATION),
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {where}.kpi_event_correlated{on}\n"
        f"TO {where}.kpi_event_by_correlation{local}\n"
        f"AS SELECT {selected}\nFROM {where}.kpi_event{local}\nWHERE correlation_id IS NOT NULL",
    ]
    if cluster:
        made += [
            f"CREATE TABLE IF NOT EXISTS {where}.{name}{on}\nAS {where}.{name}_local\n"
            f"ENGINE = Distributed({_quoted(cluster)}, {where}, {name}_local, fingerprint)"
            for name in ("kpi_event", "kpi_event_by_correlation")
        ]
    return made


def upgrade(url: URL) -> None:
    """Make the tables where they are missing, on the cluster the URL names if it names one.

    Raises:
        sqlalchemy.exc.OperationalError: The server cannot be reached, or refuses.
    """
    cluster = url.query.get(CLUSTER)
    client = connect(url, _DEADLINE_S, {}, database="default")
    try:
        for statement in statements(url.database or "default", cluster if isinstance(cluster, str) else None):
            with told(url, statement):
                client.command(statement)
    finally:
        client.close()


def _engine(cluster: str | None) -> str:
    if cluster is None:
        return "ReplacingMergeTree"
    path = "/clickhouse/tables/{shard}/{database}/{table}"
    return f"ReplicatedReplacingMergeTree('{path}', '{{replica}}')"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
