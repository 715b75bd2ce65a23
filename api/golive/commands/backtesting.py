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
    from golive.regression.backtest import Backtest
    from golive.tripwire import Observation, Rule

Stream = tuple[str, str]

LEAST_EVENTS = 250
"""Streams of a log with fewer are left out, unless they are named."""
_TRIPS_SHOWN = 3
_WHOLE = ("window_events", "baseline_events", "min_events_to_enforce")
_NUMBERS = ("max_drop_fraction", "false_trips")
_PRESETS = ("mode=confirmed", "mode=threshold")


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
    from golive.regression import backtest as replaying

    if (domain is None) != (metric is None):
        fail("expected DOMAIN and METRIC, or neither")
    if plot is not None and plot.suffix.lower() != ".svg":
        fail(f"--plot: expected a file that ends in .svg, got {plot.name}")
    between = (moment("since", since), moment("until", until))
    changed = moment("change", change)
    named = None if domain is None or metric is None else (domain, metric)
    candidates = {text: _rule(text) for text in rules or _PRESETS}
    with telling_errors():
        if file is None:
            streams = _of_store(database_url, named, between, candidates if not rules else None)
        else:
            streams = _of_log(file, mapping, constants, named, between)
        found = [
            (stream, events, _replayed(replaying.backtest, own or candidates, events, changed, every))
            for stream, (events, own) in streams.items()
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
Streams = dict[Stream, tuple[list["Observation"], "dict[str, Rule] | None"]]


def _replayed(
    replay: Any, candidates: "dict[str, Rule]", events: "list[Observation]", change: Any, every: int | None
) -> Made:
    return {name: replay(rule, events, change=change, every=every) for name, rule in candidates.items()}


def _of_store(
    database_url: str | None,
    named: Stream | None,
    between: tuple[Any, Any],
    presets: "dict[str, Rule] | None",
) -> Streams:
    """Return the events of the streams, and where no rule was given the stored policy as a candidate."""
    from golive import regression
    from golive.regression.backtest import stored

    with reading(database_url) as connection:
        policies = {(policy.domain, policy.metric): policy for policy in regression.policies(connection)}
    streams: Streams = {}
    for stream in [named] if named else sorted(policies):
        own = None
        if presets is not None and stream in policies:
            own = {"the stored policy": policies[stream].rule(), **presets}
        since, until = between
        events = stored(store_url(database_url), *stream, since=since, until=until)
        if events or named:
            streams[stream] = (events, own)
    return streams


def _of_log(
    file: Path,
    mapping: list[str] | None,
    constants: list[str] | None,
    named: Stream | None,
    between: tuple[Any, Any],
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
    return {
        stream: (events, None)
        for stream, events in sorted(found.items())
        if named or len(events) >= LEAST_EVENTS
    }


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
