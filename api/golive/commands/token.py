"""`golive token create|list|revoke`: who may use the HTTP service."""

import datetime as dt
from typing import Annotated

import typer

from golive.commands._common import DatabaseUrl, actor, console, reading, shown, store_url, telling_errors

app = typer.Typer(help="Make, list and revoke the tokens of the HTTP service.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; the trail shows it as token:NAME.")],
    scope: Annotated[list[str], typer.Option(help="read, ingest or operate; may be given several times.")],
    expires_in_days: Annotated[
        float | None,
        typer.Option(help="Refuse it after so many days; never by default.", min=0.01, max=36500),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a token and print it, once."""
    from golive import tokens
    from golive.models.base import utc_now

    expires_at = utc_now() + dt.timedelta(days=expires_in_days) if expires_in_days is not None else None
    with telling_errors():
        secret = tokens.create(
            store_url(database_url), name=name, scopes=scope, actor=actor(), expires_at=expires_at
        )
    typer.echo("The token is shown only now:", err=True)
    typer.echo(secret)


@app.command(name="list")
def list_all(database_url: DatabaseUrl = None) -> None:
    """List the tokens, without their secrets."""
    from rich.table import Table

    from golive import tokens

    with reading(database_url) as connection:
        known = tokens.list_tokens(connection)
    table = Table("name", "scopes", "made by", "made", "expires", "state", box=None)
    for token in known:
        table.add_row(
            shown(token.name),
            " ".join(scope for scope in tokens.SCOPES if scope in token.scopes),
            shown(token.created_by),
            _day(token.created_at),
            _day(token.expires_at),
            "usable" if token.usable else "revoked" if token.revoked_at else "expired",
        )
    console().print(table if known else "There is no token.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The token's name.")],
    reason: Annotated[str, typer.Option(help="Why; for the audit trail.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Refuse a token from now on; services obey within a second."""
    from golive import tokens

    with telling_errors():
        tokens.revoke(store_url(database_url), name, actor=actor(), reason=reason)
    typer.echo(f"token {shown(name)} revoked")


def _day(at: dt.datetime | None) -> str:
    return at.date().isoformat() if at is not None else ""
