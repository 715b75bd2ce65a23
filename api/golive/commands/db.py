"""`golive db`: the tables of the event store, and how they grow."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from golive.commands._common import (
    INTERRUPTED,
    DatabaseUrl,
    Format,
    FormatOption,
    console,
    fail,
    store_url,
    telling_errors,
)

if TYPE_CHECKING:
    from golive.maintenance.maintaining import Maintained

app = typer.Typer(help="The tables of the event store.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The tables of the event store."""


@app.command()
def upgrade(database_url: DatabaseUrl = None) -> None:
    """Make golive's tables, or bring them up to date; those that are there are kept, with every row.

    A policy table that has lost all its rows gets its seed rows again.

    The same as `alembic upgrade head`. Safe to run again, and by several processes at once.
    """
    from golive import database, readers
    from golive.exporters import clickhouse_schema

    with telling_errors():
        url = store_url(database_url)
        database.upgrade(url, seed=True)
        typer.echo(f"{database.shown_url(url)} is at revision {database.HEAD}")
        events = readers.apart()
        if events is None:
            return
        if events.get_backend_name() == "clickhousedb":
            clickhouse_schema.upgrade(events)
            typer.echo(f"{database.shown_url(events)} has the tables of KPI events")
        else:
            database.upgrade(events, seed=True)
            typer.echo(f"{database.shown_url(events)} is at revision {database.HEAD}")


@app.command()
def maintain(
    retention_days: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS",
            help="For how many days events are kept. Default: GOLIVE_RETENTION_DAYS, else for ever.",
        ),
    ] = None,
    partition: Annotated[
        bool,
        typer.Option("--partition", help="Make the table a partitioned one, a month each; on PostgreSQL."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    output: FormatOption = Format.table,
    database_url: DatabaseUrl = None,
) -> None:
    """Delete events that are too old, but for those a tripwire reads; make and drop partitions.

    While events are written and read; safe by several machines at once, and when it is interrupted. Other
    tables are never touched.
    """
    from golive import database, readers, settings
    from golive.maintenance.maintaining import maintain as run

    with telling_errors():
        if (apart := readers.apart()) is not None:
            fail(f"the events are in {database.shown_url(apart)}, apart from the tripwires that read them")
        url = store_url(database_url)
        if retention_days is None:
            retention_days = settings.retention_days_from_environment()
        try:
            done = run(url, retention_days=retention_days, partition=partition, dry_run=dry_run)
        except KeyboardInterrupt:
            typer.echo("stopped: run it again to do the rest", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if output is Format.json:
        typer.echo(json.dumps(_as_json(database.shown_url(url), done, dry_run), indent=2))
    else:
        _show(database.shown_url(url), done, dry_run)


def _as_json(store: str, done: "Maintained", dry_run: bool) -> dict[str, object]:
    before = None if done.before is None else done.before.isoformat()
    return {"store": store, "dry_run": dry_run} | done._asdict() | {"before": before}


def _show(store: str, done: "Maintained", dry_run: bool) -> None:
    on = console()
    would = "would be " if dry_run else ""
    if done.busy:
        on.print(f"nothing was done, for another one is maintaining {store}", soft_wrap=True)
        return
    if done.partitioned:
        on.print(f"kpi_event {would or 'is now '}partitioned by months")
    for verb, names in (("made", done.partitions_made), ("dropped", done.partitions_dropped)):
        for name in names:
            on.print(f"{would}{verb}: {name}")
    if done.before is None:
        on.print(f"events are kept for ever, for no retention is set: {store}", soft_wrap=True)
        return
    on.print(
        f"{done.events_deleted:,} events from before {done.before:%Y-%m-%d %H:%M} UTC {would}deleted, "
        f"{done.events_kept:,} older ones kept for the tripwires that read them: {store}",
        soft_wrap=True,
    )
