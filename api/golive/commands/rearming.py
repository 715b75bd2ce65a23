"""`golive rearm`: release a tripped tripwire, from a shell on a machine that reaches the database."""

from typing import Annotated

import typer

from golive.commands._common import DatabaseUrl, actor, shown, store_url, telling_errors


def rearm(
    domain: Annotated[str, typer.Argument(help="Of which domain.")],
    metric: Annotated[str, typer.Argument(help="Of which metric.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; for the audit trail.")],
    restore_throttle: Annotated[
        bool, typer.Option("--restore-throttle", help="Give the engine back what it had before the trip.")
    ] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Release a tripped tripwire; its probation begins.

    What the trip did stays done, unless the throttle is to be restored. Exit code 0: released; 2: it is not
    tripped, the throttle cannot be restored, or the store cannot be used.
    """
    from golive import regression

    with telling_errors():
        made = regression.rearm(
            store_url(database_url),
            domain,
            metric,
            actor=actor(),
            reason=reason,
            restore_throttle=restore_throttle,
        )
    typer.echo(f"{shown(domain)}/{shown(metric)} is re-armed, by {shown(made.rearmed_by)}.")
    if made.throttled_from is not None:
        typer.echo(f"The throttle of {shown(domain)} was left as it is: to raise it is an act of its own.")
