"""`golive runbook`: may production be enabled? For people, pipelines and cluster jobs."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from golive.commands._common import DatabaseUrl, fail, shown, store_url, telling_errors

GO, BLOCKED, INCONCLUSIVE, UNREACHABLE = 0, 1, 3, 4
_MARKS = {"BLOCKER": "✗", "WARNING": "!", "INFO": "i"}


class RunbookFormat(StrEnum):
    """How the runbook is printed."""

    text = "text"
    json = "json"
    markdown = "markdown"
    github = "github"


def runbook(
    output: Annotated[
        RunbookFormat,
        typer.Option("--format", help="text, json, markdown, or github: annotations and a job summary."),
    ] = RunbookFormat.text,
    url: Annotated[
        str | None, typer.Option(help="Ask a golive service at this address, not the database.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token for the service; GOLIVE_TOKEN by default.", dir_okay=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Say whether production may be enabled.

    Exit code 0: go; 1: blockers; 2: misconfigured; 3: inconclusive; 4: database or service unreachable.
    """
    found, reachable = (_ask(url, token_file), True) if url else _evaluate(database_url)
    _print(found, output)
    raise typer.Exit(_exit_code(found, reachable))


def _evaluate(database_url: str | None) -> tuple[dict[str, Any], bool]:
    from sqlalchemy.exc import SQLAlchemyError

    from golive import governance
    from golive.runbook import build_runbook

    with telling_errors():
        store = store_url(database_url)
        found = build_runbook(store)
        try:
            with governance.reading(store) as connection:
                connection.exec_driver_sql("SELECT 1")
            reachable = True
        except SQLAlchemyError:
            reachable = False
    return dict(found), reachable


def _ask(url: str, token_file: Path | None) -> dict[str, Any]:
    from golive.commands._service import Refused, ServiceProblem, Unreachable, fetch_runbook

    try:
        return fetch_runbook(url, token_file)
    except Refused as error:
        fail(str(error))
    except ServiceProblem as error:
        typer.echo(f"golive: {shown(error)}", err=True)
        raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else INCONCLUSIVE) from None


def _exit_code(found: dict[str, Any], reachable: bool) -> int:
    if not reachable:
        return UNREACHABLE
    return {"pass": GO, "warn": GO, "fail": BLOCKED}.get(found["verdict"], INCONCLUSIVE)


def _print(found: dict[str, Any], output: RunbookFormat) -> None:
    from golive.runbook import render_runbook_markdown

    if output is RunbookFormat.json:
        typer.echo(json.dumps(found, indent=2))
    elif output is RunbookFormat.markdown:
        typer.echo(render_runbook_markdown(found))
    elif output is RunbookFormat.github:
        _print_for_github(found, render_runbook_markdown(found))
    else:
        typer.echo(as_text(found))


def as_text(found: dict[str, Any]) -> str:
    """Return the runbook as lines for a terminal."""
    lines = ["GO: production may be enabled" if found["ok_to_enable_go_live"] else "NO-GO"]
    for check in [*found["blockers"], *found["warnings"], *found["info"]]:
        mark = "✓" if check["ok"] else _MARKS.get(check["severity"], "✗")
        lines.append(f"  {mark} {shown(check['id'])}: {shown(check['message'])}")
        if not check["ok"]:
            lines.append(f"      → {shown(check['action'])}")
    return "\n".join(lines)


def _print_for_github(found: dict[str, Any], markdown: str) -> None:
    """Print workflow commands, and append the Markdown form to the job's summary.

    The escapes are those of GitHub's own toolkit: https://github.com/actions/toolkit, core/src/command.ts.
    """
    for level, key in (("error", "blockers"), ("warning", "warnings")):
        for check in found[key]:
            title = _escape(str(check["id"])).replace(":", "%3A").replace(",", "%2C")
            text = _escape(f"{check['message']} → {check['action']}")
            typer.echo(f"::{level} title={title}::{text}")
    if found["ok_to_enable_go_live"]:
        typer.echo("::notice title=golive::OK to enable go-live")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown + "\n")


def _escape(text: str) -> str:
    lines = text.replace("%", "%25").replace("\r", "%0D").split("\n")
    return "%0A".join(map(shown, lines))
