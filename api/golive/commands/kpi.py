"""`golive kpi`: what was recorded."""

import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from golive.commands._common import (
    TIME_HELP,
    DatabaseUrl,
    Format,
    FormatOption,
    console,
    moment,
    reading_events,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

    from golive.reader import MetricSummary, TimelineEntry

app = typer.Typer(help="What was recorded.", no_args_is_help=True)

_BAR_CELLS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_OUTCOME_STYLES = {"success": "green", "failure": "red", "value": "cyan", "cancelled": "yellow"}


@app.command()
def summary(
    since: Annotated[str | None, typer.Option(help=f"From when on. {TIME_HELP} Default: all.")] = None,
    until: Annotated[str | None, typer.Option(help=f"Until before when. {TIME_HELP} Default: now.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
    output: FormatOption = Format.table,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the rates of every domain and metric in a range of time."""
    begin, end = moment("since", since), moment("until", until)
    with reading_events(database_url) as events:
        found = events.summary(begin, end, domain)
    if output is Format.json:
        _print_json([_as_json(metric) | {"success_rate": metric.success_rate} for metric in found])
    else:
        _print_summary(found)


@app.command()
def correlation(
    correlation_id: Annotated[str, typer.Argument(metavar="ID", help="The correlation id.")],
    output: FormatOption = Format.table,
    database_url: DatabaseUrl = None,
) -> None:
    """Show everything that happened under a correlation id, in order. Exit code 1 if nothing did."""
    with reading_events(database_url) as events:
        found = events.timeline(correlation_id)
    if output is Format.json:
        _print_json([_as_json(entry) for entry in found])
    else:
        _print_timeline(correlation_id, found)
    if not found:
        raise typer.Exit(1)


def _print_summary(found: "list[MetricSummary]") -> None:
    from rich import box
    from rich.table import Table

    if not found:
        console().print("no events in this range of time")
        return
    columns: list[tuple[str, Callable[[MetricSummary], str | Text]]] = [
        ("events", lambda metric: f"{metric.events:,}"),
        ("success", lambda metric: _count(metric.successes)),
        ("failure", lambda metric: _count(metric.failures)),
        ("cancelled", lambda metric: _count(metric.cancelled)),
        ("rate", lambda metric: "" if metric.success_rate is None else f"{metric.success_rate:.1%}"),
        ("", lambda metric: _bar(metric.success_rate)),
        ("sum", lambda metric: "" if metric.value_sum is None else f"{metric.value_sum:,.2f}"),
        ("mean", lambda metric: "" if metric.value_mean is None else f"{metric.value_mean:,.2f}"),
    ]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("metric", overflow="fold")
    cells: list[list[str | Text]] = [[shown(f"{metric.domain}.{metric.metric}") for metric in found]]
    for heading, cell in columns:
        column = [cell(metric) for metric in found]
        if any(column):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
            cells.append(column)
    for line in zip(*cells, strict=True):
        table.add_row(*line)
    console().print(table)
    events = sum(metric.events for metric in found)
    first, last = min(m.first_at for m in found), max(m.last_at for m in found)
    console().print(f"{events:,} events from {_clock(first)} to {_clock(last)} UTC")


def _print_timeline(correlation_id: str, found: "list[TimelineEntry]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not found:
        console().print(f"no events of {shown(correlation_id)}")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("event", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("actor", overflow="fold")
    table.add_column("trace", overflow="fold", min_width=8)
    table.add_column("detail", overflow="fold", ratio=1)
    for entry in found:
        outcome = entry.outcome if entry.value is None else f"{entry.outcome} {entry.value:,g}"
        table.add_row(
            _seconds(entry.offset_s),
            shown(f"{entry.domain}.{entry.metric}"),
            Text(outcome, _OUTCOME_STYLES[entry.outcome]),
            "" if entry.duration_ms is None else _seconds(entry.duration_ms / 1000),
            shown(entry.actor or ""),
            entry.trace_id or "",
            "" if entry.detail is None else shown(_short(entry.detail)),
        )
    traces = len({entry.trace_id for entry in found if entry.trace_id})
    console().print(
        f"{shown(correlation_id)}: {len(found)} events in {_seconds(found[-1].offset_s)}, "
        f"{traces} trace{'' if traces == 1 else 's'}, from {_clock(found[0].created_at)} UTC",
        soft_wrap=True,
    )
    console().print(table)


def _as_json(item: "MetricSummary | TimelineEntry") -> dict[str, Any]:
    fields = item._asdict()
    if "id" in fields:
        fields["id"] = str(fields["id"])  # past 2^53, where JSON readers in other languages round
    return {
        key: value.isoformat() if isinstance(value, dt.datetime) else value for key, value in fields.items()
    }


def _print_json(items: list[dict[str, Any]]) -> None:
    typer.echo(json.dumps(items, indent=2))


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _bar(rate: float | None) -> "str | Text":
    from rich.text import Text

    if rate is None:
        return ""
    full, part = divmod(round(rate * _BAR_CELLS * 8), 8)
    bar = "█" * full + (_EIGHTHS[part] if part else "")
    return Text(bar.ljust(_BAR_CELLS, "░"), "green" if rate >= 0.5 else "red")


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    return str(dt.timedelta(seconds=round(seconds)))


def _clock(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _short(detail: Any) -> str:
    text = detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"
