"""`golive kill-switch`: stop production, from a shell on a machine that reaches the database."""

from typing import TYPE_CHECKING, Annotated

import typer

from golive.commands._common import DatabaseUrl, actor, shown, store_url, telling_errors

if TYPE_CHECKING:
    from golive.go_live import State

app = typer.Typer(help="Stop production, and let it go on.", no_args_is_help=True)

Reason = Annotated[str, typer.Option("--reason", help="Why; for the audit trail.")]


@app.command()
def engage(reason: Reason, database_url: DatabaseUrl = None) -> None:
    """Stop production now, whatever else is wrong."""
    from golive import go_live

    with telling_errors():
        _show(go_live.engage_kill_switch(store_url(database_url), actor=actor(), reason=reason))


@app.command()
def release(reason: Reason, database_url: DatabaseUrl = None) -> None:
    """Release the kill switch; go-live is then as it was before."""
    from golive import go_live

    with telling_errors():
        _show(go_live.release_kill_switch(store_url(database_url), actor=actor(), reason=reason))


@app.command()
def status(database_url: DatabaseUrl = None) -> None:
    """Show the switch. Exit code 0: released; 1: engaged."""
    from golive import go_live

    with telling_errors():
        state = go_live.read(store_url(database_url))
        _show(state)
    raise typer.Exit(int(state.kill_switch_engaged))


def _show(state: "State") -> None:
    switch = "ENGAGED" if state.kill_switch_engaged else "released"
    typer.echo(f"kill switch: {switch}; go-live: {'enabled' if state.go_live_enabled else 'off'}")
    if state.updated_at is not None:
        by = f"{shown(state.changed_by)} at {state.updated_at:%Y-%m-%d %H:%M:%S} UTC"
        typer.echo(f"last changed by {by}: {shown(state.reason)}")
