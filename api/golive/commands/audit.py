"""`golive audit`: the trail of governance acts."""

import json
from typing import Annotated

import typer

from golive.commands._common import (
    DatabaseUrl,
    Format,
    FormatOption,
    console,
    reading,
    shown,
    store_url,
    telling_errors,
)

app = typer.Typer(help="The trail of governance acts.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The trail of governance acts."""


@app.command()
def verify(database_url: DatabaseUrl = None) -> None:
    """Check the whole chain. Exit code 0: intact; 1: broken.

    Keep the length and the hash it prints somewhere else: a chain that later is shorter, or has another hash
    at that row, was written anew.
    """
    from golive import audit

    with telling_errors():
        found = audit.verify(store_url(database_url))
    if not found.ok:
        typer.echo(f"BROKEN at row {found.broken_id}: {found.problem}", err=True)
        raise typer.Exit(1)
    typer.echo(f"intact: {found.rows} rows, the last has hash {found.last_hash}")


@app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, max=10_000)] = 20,
    output: FormatOption = Format.table,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the latest acts."""
    from golive import audit

    with reading(database_url) as connection:
        found = audit.entries(connection, limit=limit)
    if output is Format.json:
        typer.echo(json.dumps([entry._asdict() for entry in found], default=str, indent=2))
        return
    from rich.table import Table

    table = Table("when (UTC)", "who", "what", "done", "why")
    for entry in found:
        when = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
        done = "yes" if entry.ok else "refused"
        table.add_row(when, shown(entry.actor), shown(entry.action), done, shown(entry.reason or ""))
    console().print(table)
