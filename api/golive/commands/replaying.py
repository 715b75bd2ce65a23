"""`golive replay`: a business event log through the helpers, as if it happened now."""

import queue
import threading
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

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
from golive.commands.importing import Constants, LogFile, Mapping, open_log

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from golive.eventlog import BadLine
    from golive.events import KpiEvent

_QUEUED_EVENTS = 1_000
_FLUSH_S = 600.0


def replay_log(
    file: LogFile,
    speed: Annotated[
        str, typer.Option(help="How many times faster than the log's own clock; max goes as fast as it can.")
    ] = "max",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads; an id's events stay in order.")] = 4,
    mapping: Mapping = None,
    constants: Constants = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Drive the helpers with a log's events: spans, counters, OpenTelemetry events and rows all appear.

    The events happen now, under their own correlation ids, several of them in flight. Exit code 0 if every
    line was replayed and delivered, 1 if not, 2 if nothing could be done.
    """
    from golive import pipeline
    from golive.eventlog import BadLine

    factor = _factor(speed)
    with telling_errors():
        log = open_log(file, mapping, constants, None)
        pipeline.configure(events_url(database_url), tracer_provider=_tracer_provider())
        rejected: list[BadLine] = []
        started = time.monotonic()
        replayed = 0
        stopped = False
        desk = _Workers(workers)
        with reading_progress(file) as progress, desk:
            clock = _Clock(factor)
            try:
                for line in log.lines():
                    if isinstance(line, BadLine):
                        rejected.append(line)
                        continue
                    clock.wait_for(line.created_ns)
                    desk.give(line)
                    replayed += 1
                    if not replayed % 500:
                        progress(replayed, log.bytes_read())
            except KeyboardInterrupt:
                stopped = True
        seconds = time.monotonic() - started
        delivered = pipeline.flush(_FLUSH_S)
        lost = sum(pipeline.account().snapshot().discarded.values())
        pipeline.shutdown()
    _show(replayed, seconds, rejected, lost, delivered)
    if stopped:
        typer.echo("stopped before the end of the log", err=True)
        raise typer.Exit(INTERRUPTED)
    if rejected or lost or not delivered:
        raise typer.Exit(1)


def _tracer_provider() -> "TracerProvider | None":
    """Return a provider whose spans go nowhere, for rows to have trace ids, unless `OTEL_*` has one."""
    from opentelemetry.sdk.trace import TracerProvider

    from golive.otel_env import exporter_name

    return None if exporter_name("traces") else TracerProvider()


class _Clock:
    """Waits until an event of the log is due, `factor` times faster than the log; without one, never."""

    def __init__(self, factor: float | None) -> None:
        self._factor = factor
        self._first_ns: int | None = None
        self._started = time.monotonic()

    def wait_for(self, created_ns: int) -> None:
        if self._factor is None:
            return
        if self._first_ns is None:
            self._first_ns = created_ns
        due = self._started + (created_ns - self._first_ns) / 1e9 / self._factor
        time.sleep(max(due - time.monotonic(), 0))


class _Workers:
    """Threads that emit; each correlation id belongs to one of them, so that its events stay in order."""

    def __init__(self, number: int) -> None:
        self._queues = [queue.Queue["KpiEvent | None"](_QUEUED_EVENTS) for _ in range(number)]
        self._threads = [threading.Thread(target=_emit_all, args=(q,), daemon=True) for q in self._queues]

    def __enter__(self) -> "_Workers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for events in self._queues:
            events.put(None)
        for thread in self._threads:
            thread.join()

    def give(self, event: "KpiEvent") -> None:
        """Hand an event to its worker; waits while that one is behind."""
        self._queues[hash(event.correlation_id) % len(self._queues)].put(event)


def _emit_all(events: "queue.Queue[KpiEvent | None]") -> None:
    from golive.errors import SpoolFull

    while (event := events.get()) is not None:
        # It is counted as discarded. A thread that ended would leave the reader waiting for room for ever.
        with suppress(SpoolFull):
            _emit(event)


def _emit(event: "KpiEvent") -> None:
    """Record the event by the helper that a service would have called."""
    import json

    from golive import kpi
    from golive.correlation import correlation

    detail = None if event.detail is None else json.loads(event.detail)
    # Without an id, `correlation` would make one up: the event has none, and keeps none.
    with correlation(event.correlation_id) if event.correlation_id else nullcontext():
        if event.success is None and event.value is not None:
            kpi.kpi_value(None, event.domain, event.metric, event.value, event.actor, detail=detail)
        elif event.success is None or event.value is not None:
            kpi.emit_kpi(
                None, event.domain, event.metric, event.success, event.value, event.actor, detail=detail
            )
        elif event.success:
            kpi.kpi_success(None, event.domain, event.metric, event.actor, detail=detail)
        else:
            kpi.kpi_fail(None, event.domain, event.metric, event.actor, detail=detail)


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        fail(f"--speed: expected a number above 0, or max, got {speed!r}")
    return factor


def _show(replayed: int, seconds: float, rejected: "list[BadLine]", lost: int, delivered: bool) -> None:
    rate = replayed / seconds if seconds else 0.0
    console().print(
        f"{replayed:,} events replayed in {seconds:.1f} s, {rate:,.0f} a second; "
        f"{len(rejected):,} lines were no events; "
        f"{f'{lost:,} EVENTS LOST' if lost else 'all delivered' if delivered else 'NOT ALL DELIVERED'}",
        soft_wrap=True,
    )
    for line in rejected[:5]:
        typer.echo(f"line {line.number}: {shown(line.reason)}", err=True)
    if not delivered:
        typer.echo("the rest waits in the spool for the next process", err=True)
