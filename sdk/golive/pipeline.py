"""The pipeline: takes KPI events from the helpers to the event store, and shows them to OpenTelemetry.

    from golive import pipeline

    pipeline.configure("postgresql://…")   # optional: the first helper call configures from the environment
    pipeline.flush(timeout_s=30)           # True once nothing is left to deliver
    pipeline.shutdown()                    # happens by itself at exit

There is one pipeline per process. A forked child gets its own at its first event.
"""

import logging
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from golive import exits
from golive import settings as environment
from golive.account import Account
from golive.errors import ConfigurationError
from golive.ids import IdGenerator
from golive.settings import DEFAULT_DATABASE_URL, Settings, WhenFull

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from sqlalchemy import URL

    from golive._pipeline import Pipeline
    from golive.host_account import HostAccount
    from golive.otel_logs import LoggerProvider

__all__ = ["configure", "flush", "shutdown"]

_log = logging.getLogger(__name__)

_RETRY_S = 30.0
_FORK_WAIT_S = 1.0
_FORK_WAIT_ON_SQLITE_S = 10.0
"""Twice as long as a delivery may wait for the file: of SQLite's locks a child must inherit none."""


@dataclass(slots=True)
class _Process:
    """What this process has: one account and one id generator for life, and a pipeline while it runs."""

    account: Account
    ids: IdGenerator
    lock: Any
    running: "Pipeline | None" = None
    configured: dict[str, Any] | None = None
    broken_until: float = 0.0


_process = _Process(Account(), IdGenerator(), threading.RLock())
# Of each thread that forks, for several may at once: the lock of the drain that it has stopped meanwhile.
_forking = threading.local()
# Pipelines a fork left behind: their connections are the parent's, and must not even be garbage collected.
_left_behind: list["Pipeline"] = []


def configure(
    database_url: "str | URL | None" = None,
    *,
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
    logger_provider: "LoggerProvider | None" = None,
    spool_dir: str | Path | None = None,
    when_full: WhenFull | None = None,
) -> None:
    """Start the pipeline with these settings, in place of the one that runs.

    What is not given comes from the environment (`golive.settings`), OpenTelemetry's providers from the
    application. Children of a fork, and a helper called after `shutdown`, start with the same settings.

    Args:
        database_url: The event store: SQLite, PostgreSQL or ClickHouse. The default is `GOLIVE_EVENTS_URL`,
            else `DATABASE_URL`, else the database of the first session passed to a helper, else
            `sqlite:///golive.db`.
        tracer_provider: Makes the spans, in place of the global provider.
        meter_provider: Shows the metrics, in place of the global provider.
        logger_provider: Gets the OpenTelemetry events, in place of the global provider.
        spool_dir: Where events wait on disk.
        when_full: What a full spool does with further events: `drop` (the default), `block` or `raise`.

    Raises:
        ConfigurationError: A setting cannot work; the pipeline that ran before still runs.
    """
    given = {
        "database_url": database_url,
        "tracer_provider": tracer_provider,
        "meter_provider": meter_provider,
        "logger_provider": logger_provider,
        "spool_dir": spool_dir,
        "when_full": when_full,
    }
    with _process.lock:
        started = _build(given, None)
        previous, _process.running, _process.configured = _process.running, started, given
        if previous is not None:
            previous.close()
        started.start()


def flush(timeout_s: float = 30.0) -> bool:
    """Deliver every recorded event now.

    Args:
        timeout_s: How long to try, in seconds.

    Returns:
        True if nothing is left to deliver, events of dead processes on this machine included. Events held by
        open transactions are not recorded yet, and don't count.
    """
    running = _process.running
    return running.flush(timeout_s) if running is not None else True


def shutdown() -> None:
    """Deliver what can be delivered in `GOLIVE_SHUTDOWN_SECONDS`, and stop.

    What could not be delivered stays in the spool for the next process.
    """
    _shutdown(for_good=False)


def current(db: object = None) -> "Pipeline | None":
    """Return the running pipeline, started from the environment if need be; None if it cannot start.

    Telemetry must not stop the business (E6), so a configuration that cannot work is an error in the log,
    not an exception, and is tried again after half a minute.
    """
    running = _process.running
    if running is not None:
        return running
    with _process.lock:
        if _process.running is None and time.monotonic() >= _process.broken_until:
            try:
                started = _build(_process.configured or {}, db)
            except Exception as error:
                _process.broken_until = time.monotonic() + _RETRY_S
                detail = error if isinstance(error, ConfigurationError) else type(error).__name__
                _log.exception("KPI events are not recorded, golive cannot start: %s", detail)
            else:
                _process.running = started
                started.start()
        return _process.running


def account() -> Account:
    """Return the account of this process."""
    return _process.account


def next_id() -> int:
    """Return an event id."""
    return _process.ids()


def emitter() -> int:
    """Return the number of this process."""
    return _process.ids.emitter


def backlog() -> tuple[int, float]:
    """Return how many events wait in the spool, and the age of the oldest in seconds."""
    running = _process.running
    return running.backlog() if running is not None else (0, 0.0)


def discard(reason: str) -> None:
    """Count an event that could not be recorded."""
    running = _process.running
    if running is not None:
        running.discard(1, reason)
    else:
        _process.account.discard(1, reason)


def host_account(url: "URL | None" = None) -> "HostAccount":
    """Return what all processes of this host counted for a store, by default the one this process records to.

    Reads files only: neither a pipeline nor the store is needed.
    """
    from golive import host_account as host
    from golive.spool_places import spool_roots

    running = _process.running
    if running is not None and (url is None or url == running.url):
        return host.read(spool_roots(running.settings, running.url), running.settings.max_series)
    settings = _settings(_process.configured or {})
    store = url or _store_url((_process.configured or {}).get("database_url"), settings, None)
    return host.read(spool_roots(settings, store), settings.max_series)


def _build(given: dict[str, Any], db: object) -> "Pipeline":
    from golive import redaction
    from golive._pipeline import Pipeline

    settings = _settings(given)
    redaction.add_secret_words(settings.redact_keys)
    _process.account.max_series = settings.max_series
    built = Pipeline(
        _store_url(given.get("database_url"), settings, db),
        settings,
        _process.account,
        given.get("tracer_provider"),
        given.get("meter_provider"),
        given.get("logger_provider"),
    )
    exits.install(_at_exit, _shutdown_for_good, _before_fork, _after_fork_in_parent, _after_fork_in_child)
    return built


def _settings(given: dict[str, Any]) -> Settings:
    settings = environment.from_environment()
    if given.get("spool_dir"):
        settings = replace(settings, spool_dir=Path(given["spool_dir"]))
    if given.get("when_full") is not None:
        settings = replace(settings, when_full=environment.parse_when_full(given["when_full"]))
    return settings


def _store_url(given: "str | URL | None", settings: Settings, db: object) -> "URL":
    from golive import database, transactions

    configured = given or settings.events_url or settings.database_url
    if configured is not None:
        return database.normalise_events_url(configured)
    session = transactions.session_of(db)
    if session is not None:
        try:
            return database.normalise_url(session.get_bind().engine.url)
        except Exception as error:  # whatever its bind is, it cannot be the event store
            _log.warning(
                "the session's database cannot be the event store: %s; using %s", error, DEFAULT_DATABASE_URL
            )
    return database.normalise_url(DEFAULT_DATABASE_URL)


def _at_exit() -> None:
    from golive import transactions

    if transactions.overtake():
        current()
    shutdown()


def _shutdown(*, for_good: bool) -> None:
    with _process.lock:
        running, _process.running = _process.running, None
    if running is not None:
        running.close(for_good=for_good)


def _shutdown_for_good() -> None:
    # The lock is kept: what a thread that goes on recorded now would be left behind when the signal strikes.
    _process.lock.acquire()
    _shutdown(for_good=True)


def _before_fork() -> None:
    running = _process.running
    if running is None:
        return
    # Bounded: a delivery that hangs must not keep the application from forking.
    wait_s = _FORK_WAIT_ON_SQLITE_S if running.url.get_backend_name() == "sqlite" else _FORK_WAIT_S
    if running.drain.quiescent.acquire(timeout=wait_s):
        _forking.quiescent = running.drain.quiescent


def _after_fork_in_parent() -> None:
    quiescent = _forking.__dict__.pop("quiescent", None)
    if quiescent is not None:
        quiescent.release()


def _after_fork_in_child() -> None:
    from golive import transactions

    transactions.abandon_in_child()
    running = _process.running
    _process.running = None
    _forking.__dict__.clear()
    _process.lock = threading.RLock()
    _process.ids = IdGenerator()
    _process.account.reset()
    if running is not None:
        _left_behind.append(running)
        running.abandon_in_child()
