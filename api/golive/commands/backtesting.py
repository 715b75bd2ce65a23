"""`golive backtest`: when candidate policies would have tripped on the events of the past."""

import datetime as dt
import json
from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from golive.commands._common import (
    TIME_HELP,
    DatabaseUrl,
    console,
    fail,
    moment,
    reading,
    shown,
    store_url,
    telling_errors,
)
from golive.commands.importing import Constants, Mapping, open_log

if TYPE_CHECKING:
    from golive.regression import RegressionPolicyView
    from golive.regression.backtest import Backtest
    from golive.tripwire import Observation, Rule

Stream = tuple[str, str]

LEAST_EVENTS = 250
"""Streams of a log with fewer are left out, unless they are named."""
_TRIPS_SHOWN = 3
_WHOLE = ("window_events", "baseline_events", "min_events_to_enforce")
_NUMBERS = ("max_drop_fraction", "false_trips")


class BacktestFormat(StrEnum):
    """How the backtest is printed."""

    text = "text"
    json = "json"


def backtest(
    domain: Annotated[str | None, typer.Argument(help="Of which domain.")] = None,
    metric: Annotated[str | None, typer.Argument(help="Of which metric.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Events of this log, CSV or JSON Lines, instead of the store's.")
    ] = None,
    mapping: Mapping = None,
    constants: Constants = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="FIELD=VALUE,…",
            help="A candidate, as mode=threshold,max_drop_fraction=0.3; may be given several times. "
            "Default: the stored policy, and each mode as it comes.",
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Events after this time. {TIME_HELP}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Events before this time. {TIME_HELP}")] = None,
    change: Annotated[
        str | None, typer.Option(help=f"When something changed: trips before it are false ones. {TIME_HELP}")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(min=1, help="Judge after so many events. Default: 1; for values, some 2,000 times."),
    ] = None,
    output: Annotated[BacktestFormat, typer.Option("--format", help="text or json.")] = BacktestFormat.text,
    plot: Annotated[Path | None, typer.Option(help="Draw one stream into this .svg file.")] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Replay stored events, or a log's, against candidate policies; nothing is written to the store.

    Without DOMAIN and METRIC: every stream that has a policy, or every one of the log with 250 events or
    more. Exit code 0, whatever tripped; 2 if nothing could be done.
    """
    from golive.regression.backtest import default_rules

    if (domain is None) != (metric is None):
        fail("expected DOMAIN and METRIC, or neither")
    if plot is not None and plot.suffix.lower() != ".svg":
        fail(f"--plot: expected a file that ends in .svg, got {plot.name}")
    between = (moment("since", since), moment("until", until))
    changed = moment("change", change)
    named = None if domain is None or metric is None else (domain, metric)
    given = {text: _rule(text) for text in rules or ()}
    with telling_errors():
        if file is None:
            policies = _policies(database_url)
            streams = _of_store(database_url, [named] if named else sorted(policies), between)
        else:
            policies = {}
            streams = _of_log(file, mapping, constants, named, between)
        if named is None:
            least = 1 if file is None else LEAST_EVENTS
            streams = {stream: events for stream, events in streams.items() if len(events) >= least}
        found = [
            (stream, events, _replayed(given or default_rules(policies.get(stream)), events, changed, every))
            for stream, events in streams.items()
        ]
    if plot is not None:
        _plot(plot, found, changed)
    if output is BacktestFormat.json:
        typer.echo(json.dumps([_as_json(stream, made) for stream, _, made in found], indent=2))
        return
    for stream, events, made in found:
        _show(stream, events, made, changed)
    if not found:
        typer.echo("There is no such stream.")


Made = dict[str, "Backtest"]
Streams = dict[Stream, list["Observation"]]
Between = tuple[dt.datetime | None, dt.datetime | None]


def _replayed(
    rules: "dict[str, Rule]", events: "list[Observation]", change: dt.datetime | None, every: int | None
) -> Made:
    from golive.regression.backtest import backtest

    return {name: backtest(rule, events, change=change, every=every) for name, rule in rules.items()}


def _policies(database_url: str | None) -> "dict[Stream, RegressionPolicyView]":
    from golive import regression

    with reading(database_url) as connection:
        return {(policy.domain, policy.metric): policy for policy in regression.policies(connection)}


def _of_store(database_url: str | None, wanted: list[Stream], between: Between) -> Streams:
    from golive.regression.backtest import stored

    url, (since, until) = store_url(database_url), between
    return {stream: stored(url, *stream, since=since, until=until) for stream in wanted}


def _of_log(
    file: Path,
    mapping: list[str] | None,
    constants: list[str] | None,
    named: Stream | None,
    between: Between,
) -> Streams:
    from golive.eventlog import BadLine
    from golive.tripwire import Observation

    since, until = between
    found: dict[Stream, list[Observation]] = defaultdict(list)
    for line in open_log(file, mapping, constants, None).lines():
        if isinstance(line, BadLine):
            continue
        stream = (line.domain, line.metric)
        at = dt.datetime.fromtimestamp(line.created_ns // 1000 / 1e6, dt.UTC)
        if named in (None, stream) and (since is None or at > since) and (until is None or at < until):
            found[stream].append(Observation(line.id, at, line.success, line.value, line.trace_id))
    return dict(sorted(found.items()))


def _rule(text: str) -> "Rule":
    from golive.errors import InvalidArgument
    from golive.tripwire import Rule

    values: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.strip().partition("=")
        try:
            if name in _WHOLE:
                values[name] = int(value)
            elif name in _NUMBERS:
                values[name] = float(value)
            elif name == "mode":
                values[name] = value
            else:
                fail(f"--rule: expected {', '.join(('mode', *_WHOLE, *_NUMBERS))}, got {pair!r}")
        except ValueError:
            fail(f"--rule: {name}: expected a number, got {value!r}")
    try:
        return Rule(**values)
    except InvalidArgument as error:
        fail(f"--rule: {error}")


def _as_json(stream: Stream, made: Made) -> dict[str, Any]:
    replayed = [{"rule": name} | found.as_json() for name, found in made.items()]
    return {"domain": stream[0], "metric": stream[1], "backtests": replayed}


def _show(stream: Stream, events: "list[Observation]", made: Made, change: dt.datetime | None) -> None:
    from rich.table import Table

    from golive.commands._chart import chart

    first = next(iter(made.values()))
    columns = ["rule", "trips", "quiet, per 10,000 events", "after the change", "first trips"]
    if change is None:
        columns.remove("after the change")
    title = (
        f"{shown(stream[0])}/{shown(stream[1])}: {first.events:,} events judged by {first.kind or 'nothing'}"
    )
    table = Table(*columns, title=title)
    for name, found in made.items():
        per = found.quiet_trips_per_10000
        row = [shown(name), str(len(found.trips)), "" if per is None else f"{per:.1f}"]
        if change is not None:
            row.append(_delay(found))
        row.append("\n".join(_trip(trip) for trip in found.trips[:_TRIPS_SHOWN]))
        table.add_row(*row)
    on = console()
    on.print(table)
    on.print(f"judged after every {first.every} events" if first.every > 1 else "judged after every event")
    marks = {name: [trip.event for trip in found.trips] for name, found in made.items()}
    for line in chart(events, first.kind, marks, change):
        on.print(line, soft_wrap=True)
    on.print("")


def _delay(found: "Backtest") -> str:
    if found.events_to_trip is None or found.seconds_to_trip is None:
        return "never"
    after = dt.timedelta(seconds=round(found.seconds_to_trip))
    return f"{found.events_to_trip} events, {after}"


def _trip(trip: Any) -> str:
    found = trip.finding
    drop = "?" if found.drop_fraction is None else f"{found.drop_fraction:.0%}"
    return f"{trip.at:%Y-%m-%d %H:%M} (event {trip.event:,}): down {drop} over {found.window.n}"


def _plot(path: Path, found: Any, change: dt.datetime | None) -> None:
    from golive.commands._svg import svg
    from golive.tripwire.levels import levels

    if len(found) != 1:
        fail("--plot: expected one stream; name DOMAIN and METRIC")
    [(stream, events, made)] = found
    first = next(iter(made.values()))
    marks = {name: [trip.event for trip in each.trips] for name, each in made.items()}
    path.write_text(
        svg(f"{stream[0]}/{stream[1]}", levels(events, first.kind, 200), first.kind, marks, change),
        encoding="utf-8",
    )
