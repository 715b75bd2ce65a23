"""`golive import`: a business event log into the store."""

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from golive.commands._common import (
    INTERRUPTED,
    DatabaseUrl,
    console,
    events_url,
    fail,
    shown,
    telling_errors,
)
from golive.commands._progress import reading_progress

if TYPE_CHECKING:
    from golive.eventlog import BadLine, EventLog
    from golive.events import KpiEvent
    from golive.stores import EventStore

BATCH_EVENTS = 10_000
PROGRESS_LINES = 2_000
_BAD_LINES_SHOWN = 5

LogFile = Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON Lines, plain or gzip.")]
Mapping = Annotated[
    list[str] | None, typer.Option("--map", metavar="FIELD=COLUMN", help="Take a field from another column.")
]
Constants = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Give a field one value for the whole log."),
]


def import_log(
    file: LogFile,
    mapping: Mapping = None,
    constants: Constants = None,
    source: Annotated[
        str | None,
        typer.Option(help="The log's name, part of its events' identity. Default: the file's name."),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Where bad lines go. Default: FILE.rejects.jsonl in the current folder."),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write a log's events into the store, each once.

    Stopped and run again, or run on a log that has grown, it adds only what is missing; a renamed log needs
    --source with its old name. Exit code 0 if every line is in, 1 if some were rejected, 2 if nothing could
    be done.
    """
    # Millions of tuples without a cycle: looking for cycles among them takes a fifth of the time.
    gc.disable()
    from golive import database
    from golive.stores import open_store

    with telling_errors():
        log = open_log(file, mapping, constants, source)
        url = events_url(database_url)
        rejects = rejects or Path(f"{file.name}.rejects.jsonl")
        if rejects.exists() and file.exists() and rejects.samefile(file):
            fail("--rejects: expected another file than the log itself")
        exporter = open_store(url)
        run = _Import(exporter, rejects)
        try:
            exporter.write([])  # a store that cannot be written is said before anything is read
            with reading_progress(file) as progress:
                run.read(log, progress)
        except KeyboardInterrupt:
            typer.echo("stopped: run it again to add the rest", err=True)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            exporter.shutdown()
    run.show(database.shown_url(url))
    if run.rejected:
        raise typer.Exit(1)


def open_log(
    file: Path, mapping: list[str] | None, constants: list[str] | None, source: str | None
) -> "EventLog":
    """Return the log the options describe."""
    from golive.eventlog import EventLog

    return EventLog(file, _pairs("map", mapping), _pairs("set", constants), source)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in given or ():
        field, separator, value = text.partition("=")
        if not separator or not field or not value:
            fail(f"--{option}: expected FIELD=…, got {text!r}")
        pairs[field] = value
    return pairs


class _Batch(Iterable["KpiEvent"]):
    """The next events of a source, read while they are written; kept, for a store may ask for them again."""

    def __init__(self, source: "Iterator[KpiEvent]") -> None:
        self._source = source
        self.read: list[KpiEvent] = []

    def __iter__(self) -> "Iterator[KpiEvent]":
        yield from self.read
        for event in islice(self._source, BATCH_EVENTS - len(self.read)):
            self.read.append(event)
            yield event


class _Import:
    """One run: what was read, written and rejected."""

    def __init__(self, exporter: "EventStore", rejects: Path) -> None:
        self._exporter = exporter
        self._rejects = rejects
        self.rejected = 0
        self._written = 0
        self._metrics: Counter[tuple[str, str]] = Counter()

    def read(self, log: "EventLog", progress: Callable[[int, int], None]) -> None:
        """Write the log's events while they are read; raises what log and store raise."""
        with self._rejecting() as reject:
            events = self._events(log, reject, progress)
            while True:
                batch = _Batch(events)
                self._written += self._exporter.write(batch)
                if not batch.read:
                    return
                self._metrics.update((event.domain, event.metric) for event in batch.read)

    def _events(
        self, log: "EventLog", reject: "Callable[[BadLine], None]", progress: Callable[[int, int], None]
    ) -> "Iterator[KpiEvent]":
        from golive.eventlog import BadLine

        for count, line in enumerate(log.lines(), 1):
            if isinstance(line, BadLine):
                reject(line)
            else:
                yield line
            if not count % PROGRESS_LINES:
                progress(count, log.bytes_read())

    def show(self, store: str) -> None:
        """Print what came of it."""
        from rich import box
        from rich.table import Table

        table = Table("domain", "metric", box=box.SIMPLE_HEAD)
        table.add_column("events", justify="right")
        for (domain, metric), count in sorted(self._metrics.items()):
            table.add_row(shown(domain), shown(metric), f"{count:,}")
        read = sum(self._metrics.values())
        on = console()
        on.print(table)
        on.print(
            f"{read + self.rejected:,} lines read, {self._written:,} events written, "
            f"{read - self._written:,} there already, {self.rejected:,} lines rejected: {store}",
            soft_wrap=True,
        )
        if self.rejected:
            on.print(f"the rejected lines are in {self._rejects}", soft_wrap=True)

    @contextmanager
    def _rejecting(self) -> "Iterator[Callable[[BadLine], None]]":
        """Yield what puts a bad line into the rejects file, which is made at the first one."""
        with ExitStack() as stack:
            out: TextIO | None = None

            def reject(line: "BadLine") -> None:
                nonlocal out
                if out is None:
                    out = stack.enter_context(open(self._rejects, "w", encoding="utf-8", opener=_own))
                json.dump(line._asdict(), out)
                out.write("\n")
                self.rejected += 1
                if self.rejected <= _BAD_LINES_SHOWN:
                    typer.echo(f"line {line.number}: {shown(line.reason)}", err=True)
                elif self.rejected == _BAD_LINES_SHOWN + 1:
                    typer.echo(f"… and more, all in {self._rejects}", err=True)

            yield reject


def _own(path: str, flags: int) -> int:
    """Open a file that nobody else reads, for its lines may hold secrets, and that is no link elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
