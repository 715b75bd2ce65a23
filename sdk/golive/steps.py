"""`kpi_timed_step`: a traced, timed step of the business whose outcome is recorded by itself."""

import inspect
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import context, trace
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode

from golive import _emit, names, pipeline
from golive._emit import Subject
from golive.correlation import with_correlation
from golive.detail import unstorable
from golive.errors import InvalidEvent, SpoolFull
from golive.events import check_value, outcome_of
from golive.redaction import redact_text

__all__ = ["Step", "kpi_timed_step"]

_log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])


class Step:
    """What a running step can be told.

    Attributes:
        value: A number the step came to, recorded with its outcome.
        detail: Anything more about it.
    """

    def __init__(self, detail: object = None) -> None:
        self.value: float | None = None
        self.detail = detail
        self.failure: str | None = None

    def fail(self, reason: str) -> None:
        """Record the step as failed, although no exception leaves it."""
        self.failure = reason


class kpi_timed_step:
    """Time a step and record its outcome: as a context manager, `with` or `async with`, or as a decorator.

        with kpi_timed_step(db, "WHOLESALE", "action_executed", correlation_id="deal_123") as step:
            step.value = execute()

        @kpi_timed_step(None, "BUYER_MATCH", "algorithm_run", actor="matcher")
        async def run_matching(): ...

    A step that ends is a success; one that an exception leaves, or that called `step.fail(reason)`, is
    a failure, with the error's type and message in `detail`; one that a cancellation, `KeyboardInterrupt`,
    `SystemExit` or `GeneratorExit` leaves is cancelled. The exception goes on untouched. Inside the step its
    span is current and its correlation id in force.

    Args:
        db, domain, metric, actor, correlation_id, detail: As for `golive.kpi.emit_kpi`.

    Raises:
        InvalidEvent: An argument cannot be part of a KPI event; the step has not begun.
        SpoolFull: At its end, if the spool is full, the policy is `raise` and no exception is under way.
    """

    def __init__(
        self,
        db: Any,
        domain: str,
        metric: str,
        actor: str | None = None,
        correlation_id: str | None = None,
        detail: object = None,
    ) -> None:
        Subject.check(domain, metric, actor, correlation_id)
        _emit.session_of(db)
        self._arguments = (db, domain, metric, actor, correlation_id, detail)
        self._run: _Run | None = None

    def __enter__(self) -> Step:
        if self._run is not None:
            raise RuntimeError("this kpi_timed_step is running already: make one for each run")
        self._run = _Run(*self._arguments)
        return self._run.step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.end(error)

    async def __aenter__(self) -> Step:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)

    def __call__(self, function: _F) -> _F:
        """Decorate a function, sync or async; every call is a step of its own.

        Raises:
            TypeError: It is a generator function, whose body runs outside the call.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator: use `with kpi_timed_step(…)` inside it")
        arguments = self._arguments

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with kpi_timed_step(*arguments):
                return function(*args, **kwargs)

        @wraps(function)
        async def timed_async(*args: Any, **kwargs: Any) -> Any:
            with kpi_timed_step(*arguments):
                return await function(*args, **kwargs)

        return timed_async if inspect.iscoroutinefunction(function) else timed  # type: ignore[return-value]


class _Run:
    """One run of a step. Whatever goes wrong in here is logged, and the step itself runs (E6)."""

    def __init__(
        self, db: Any, domain: str, metric: str, actor: str | None, correlation_id: str | None, detail: object
    ) -> None:
        self.step = Step(detail)
        self._db = db
        # Checked again, for the correlation id in force when a decorated function is called.
        self._subject = Subject.check(domain, metric, actor, correlation_id)
        self._span: Span = INVALID_SPAN
        in_step = context.get_current()
        if self._subject.correlation_id is not None:
            in_step = with_correlation(self._subject.correlation_id)
        try:
            running = pipeline.current(db)
            if running is not None:
                if self._subject.correlation_id is not None:
                    running.telemetry.stamp_spans()
                self._span = running.telemetry.tracer.start_span(
                    self._subject.span_name, in_step, attributes=self._subject.attributes()
                )
                in_step = trace.set_span_in_context(self._span, in_step)
        except Exception:
            _log.exception("an OpenTelemetry span could not be made; the step runs without")
        self._token = context.attach(in_step)
        self._started_ns = time.perf_counter_ns()

    def end(self, error: BaseException | None) -> None:
        duration_ms = (time.perf_counter_ns() - self._started_ns) / 1e6
        context.detach(self._token)
        success, value, detail = self._result(error)
        event_id = pipeline.next_id()
        try:
            self._end_span(event_id, error, success, value)
        except Exception:
            _log.exception("an OpenTelemetry span could not be ended; the KPI event is recorded")
        try:
            self._record(event_id, success, value, detail, duration_ms, may_raise=error is None)
        except SpoolFull:
            raise
        except Exception:
            _emit.failed()

    def _result(self, error: BaseException | None) -> tuple[bool | None, float | None, object]:
        """Return success, value and detail of the outcome."""
        step = self.step
        if error is not None and not isinstance(error, Exception):
            return None, None, _with(step.detail, {"cancelled": type(error).__name__})
        value, problem = _checked_value(step.value)
        detail = _with(step.detail, {"value_refused": problem}) if problem else step.detail
        if error is not None:
            return False, value, _with(detail, {"error": _type_name(error), "message": _message(error)})
        if step.failure is not None:
            return False, value, _with(detail, {"reason": step.failure})
        return True, value, detail

    def _end_span(
        self, event_id: int, error: BaseException | None, success: bool | None, value: float | None
    ) -> None:
        span = self._span
        span.set_attribute(names.EVENT_ID, event_id)
        span.set_attribute(names.OUTCOME, outcome_of(success, value))
        if value is not None:
            span.set_attribute(names.VALUE, value)
        if error is not None:
            text = "".join(traceback.format_exception(error))
            span.record_exception(
                error,
                {"exception.message": redact_text(str(error)), "exception.stacktrace": redact_text(text)},
            )
            span.set_status(Status(StatusCode.ERROR, f"{_type_name(error)}: {_message(error)}"))
        elif success is False:
            span.set_status(Status(StatusCode.ERROR, redact_text(str(self.step.failure))))
        span.end()

    def _record(
        self,
        event_id: int,
        success: bool | None,
        value: float | None,
        detail: object,
        duration_ms: float,
        may_raise: bool,
    ) -> None:
        running = pipeline.current(self._db)
        if running is None:
            pipeline.discard(names.DISCARD_ERROR)
            return
        _emit.record(
            running,
            _emit.session_of(self._db),
            event_id,
            self._subject,
            success,
            value,
            detail,
            self._span.get_span_context(),
            duration_ms,
            may_raise,
        )


def _checked_value(value: object) -> tuple[float | None, str | None]:
    """Return the step's value, or why it is none: an error here would undo what the business has done."""
    try:
        return check_value(value), None
    except Exception as error:  # `InvalidEvent`, or whatever a hostile value raises
        problem = str(error) if isinstance(error, InvalidEvent) else _type_name(error)
        _log.warning("the value of a step was refused: %s", problem)
        return None, problem


def _with(detail: object, more: dict[str, object]) -> object:
    if detail is None:
        return more
    try:
        if isinstance(detail, Mapping):
            return {**detail, **more}
    except Exception as error:  # a mapping that reads a database, for one, whose session has failed
        detail = unstorable(detail, error)
    return {"detail": detail, **more}


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    """Return the error's message; of SQLAlchemy's the driver's, without statement and parameters."""
    try:
        return redact_text(str(getattr(error, "orig", None) or error))[:1000]
    except Exception:  # a hostile __str__
        return "[no message]"
