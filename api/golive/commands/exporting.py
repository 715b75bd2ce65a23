"""`golive export`: events as a Parquet file."""

from pathlib import Path
from typing import Annotated

import typer

from golive.commands._common import (
    INTERRUPTED,
    TIME_HELP,
    DatabaseUrl,
    events_url,
    fail,
    moment,
    telling_errors,
)


def export_events(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
    since: Annotated[str | None, typer.Option(help=f"From when on. {TIME_HELP} Default: all.")] = None,
    until: Annotated[str | None, typer.Option(help=f"Until before when. {TIME_HELP} Default: all.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the store's events to a Parquet file, as they are at one moment.

    Events go on being written meanwhile. The file is there whole, or as it was before. Exit code 0 if it is
    written, 2 if it cannot be.
    """
    from golive.exporters.parquet import export
    from golive.reader import EventFilter

    wanted = EventFilter(domain, metric, since=moment("since", since), until=moment("until", until))
    with telling_errors():
        url = events_url(database_url)
        if url.get_backend_name() == "clickhousedb":
            fail("ClickHouse writes Parquet itself: SELECT … FROM kpi_event FINAL … FORMAT Parquet")
        try:
            done = export(url, file, wanted, overwrite=force)
        except KeyboardInterrupt:
            typer.echo("stopped: nothing was written", err=True)
            raise typer.Exit(INTERRUPTED) from None
    times = (
        ""
        if done.first_at is None
        else f" from {done.first_at:%Y-%m-%d %H:%M} to {done.last_at:%Y-%m-%d %H:%M} UTC"
    )
    typer.echo(f"{done.events:,} events{times}, {done.size:,} bytes: {file}")
