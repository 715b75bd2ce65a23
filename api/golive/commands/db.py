"""`golive db`: the schema of the event store."""

import typer

from golive.commands._common import DatabaseUrl, store_url, telling_errors

app = typer.Typer(help="The schema of the event store.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The schema of the event store."""


@app.command()
def upgrade(database_url: DatabaseUrl = None) -> None:
    """Make golive's tables, or bring them up to date; tables of the seed are adopted with every row.

    A policy table that has lost all its rows gets its seed rows again.

    The same as `alembic upgrade head`. Safe to run again, and by several processes at once.
    """
    from golive import database, readers
    from golive.exporters import clickhouse_schema

    with telling_errors():
        url = store_url(database_url)
        database.upgrade(url, seed=True)
        typer.echo(f"{url.render_as_string()} is at revision {database.HEAD}")
        events = readers.apart()
        if events is None:
            return
        if events.get_backend_name() == "clickhousedb":
            clickhouse_schema.upgrade(events)
            typer.echo(f"{events.render_as_string()} has the tables of KPI events")
        else:
            database.upgrade(events, seed=True)
            typer.echo(f"{events.render_as_string()} is at revision {database.HEAD}")
