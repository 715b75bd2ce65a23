"""The command line: `golive …`. Each command has a module of its own in `golive.commands`."""

import logging
import sys

import typer

from golive.commands import (
    audit,
    backtesting,
    dashboards,
    db,
    evaluating,
    exporting,
    importing,
    kill_switch,
    kpi,
    rearming,
    replaying,
    review,
    runbook,
    serve,
    token,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="golive",
    help="Business-KPI telemetry and a production gate, on OpenTelemetry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(db.app, name="db")
app.add_typer(kpi.app, name="kpi")
app.add_typer(kill_switch.app, name="kill-switch")
app.add_typer(audit.app, name="audit")
app.add_typer(token.app, name="token")
app.command("serve")(serve.serve)
app.command("runbook")(runbook.runbook)
app.command("evaluate")(evaluating.evaluate)
app.command("rearm")(rearming.rearm)
app.command("backtest")(backtesting.backtest)
app.command("review")(review.review)
app.command("import")(importing.import_log)
app.command("export")(exporting.export_events)
app.command("replay")(replaying.replay_log)
app.command("dashboards")(dashboards.dashboards)


def main() -> None:
    """Run the command line of this process."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # What the driver warns of while a transaction is given up follows from an error that is told anyway.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    app()


if __name__ == "__main__":
    main()
