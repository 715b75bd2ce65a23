"""`golive evaluate`: the Friday evaluation, or a cron job's: judge the tripwires, and act where one trips."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from golive.commands._common import DatabaseUrl, console, fail, shown, store_url, telling_errors

if TYPE_CHECKING:
    from golive.regression import Evaluation

CLEAR, TRIPPED, UNSURE = 0, 1, 3


class EvaluateFormat(StrEnum):
    """How the evaluations are printed."""

    text = "text"
    json = "json"


def evaluate(
    domain: Annotated[str | None, typer.Argument(help="Of which domain.")] = None,
    metric: Annotated[str | None, typer.Argument(help="Of which metric.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every enabled tripwire.")] = False,
    output: Annotated[EvaluateFormat, typer.Option("--format", help="text or json.")] = EvaluateFormat.text,
    database_url: DatabaseUrl = None,
) -> None:
    """Evaluate one tripwire, or with --all every enabled one; one that trips acts.

    A disabled tripwire is judged, and nothing is written. Exit code 0: all are well; 1: at least one is
    tripped, now or since before; 2: misconfigured; 3: none is tripped, and at least one cannot tell
    (insufficient_data, blind, or a policy that cannot be applied).
    """
    if every == (domain is not None) or (domain is None) != (metric is None):
        fail("expected DOMAIN and METRIC, or --all")
    from golive import regression

    with telling_errors():
        url = store_url(database_url)
        if domain is None or metric is None:
            made = regression.evaluate_all(url)
        else:
            made = [regression.evaluate_policy(url, domain, metric)]
    if output is EvaluateFormat.json:
        typer.echo(json.dumps([_as_json(each) for each in made], indent=2))
    else:
        _show(made)
    raise typer.Exit(_exit_code(made))


def _exit_code(made: "list[Evaluation]") -> int:
    if any(each.state.triggered for each in made):
        return TRIPPED
    told = all(each.finding is not None and each.finding.verdict in _TOLD for each in made)
    return CLEAR if told else UNSURE


_TOLD = ("ok", "suspect", "triggered")
"""Verdicts of enough events; `triggered` without a latch is that of a shadow, or a disabled wire."""


def _as_json(each: "Evaluation") -> dict[str, Any]:
    found = each.finding
    return {
        "domain": each.policy.domain,
        "metric": each.policy.metric,
        "enabled": each.policy.enabled,
        "verdict": None if found is None else found.verdict,
        "triggered": each.state.triggered,
        "tripped": each.tripped,
        "would_trip": each.would_trip,
        "acts": list(each.acts),
        "problem": each.problem,
        "finding": None if found is None else found.as_json(),
    }


def _show(made: "list[Evaluation]") -> None:
    if not made:
        typer.echo("No tripwire is enabled.")
        return
    from rich.table import Table

    columns = ("domain", "metric", "verdict", "before", "now", "drop", "can see", "because")
    table = Table(*columns, title="Tripwires")
    for each in made:
        found = each.finding
        table.add_row(
            shown(each.policy.domain),
            shown(each.policy.metric),
            _verdict(each),
            figure(None if found is None else found.baseline, found and found.kind),
            figure(None if found is None else found.current, found and found.kind),
            figure(None if found is None else found.drop_fraction, "rate"),
            figure(None if found is None else found.detectable_drop, "rate"),
            shown(each.problem if found is None else found.explanation),
        )
    on = console()
    on.print(table)
    for each in made:
        for act in each.acts:
            on.print(f"{shown(each.policy.domain)}/{shown(each.policy.metric)} TRIPPED: {shown(act)}")


def _verdict(each: "Evaluation") -> str:
    verdict = "cannot be applied" if each.finding is None else each.finding.verdict
    if each.tripped:
        return "TRIPPED"
    if each.state.triggered:
        return f"TRIPPED before, now {verdict}"
    if not each.policy.enabled:
        return f"{verdict} (disabled)"
    return f"{verdict} (shadow)" if each.policy.shadow else verdict


def figure(number: float | None, kind: str | None) -> str:
    """Return a rate as a percentage, a mean as a number."""
    if number is None:
        return ""
    return f"{number:.1%}" if kind == "rate" else f"{number:g}"
