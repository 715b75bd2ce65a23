"""The OpenTelemetry side: joins the providers the application has, and never replaces them.

Spans and events go through the global providers unless others are given; the API's proxies make it
irrelevant whether the application sets its own before or after the first KPI event. Counters are read from
the `Account`, so that a metric cannot disagree with what was recorded (E2).
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import TracerProvider

from golive import names, otel_logs
from golive.account import DURATION_BUCKETS_S, Account, Series, Tally
from golive.correlation import stamp_spans_of
from golive.events import KpiEvent
from golive.otel_logs import LoggerProvider

_log = logging.getLogger(__name__)


class Telemetry:
    """Makes spans, announces events, and shows the account as metrics.

    Args:
        account: What the metrics show.
        backlog: Returns how many events wait in the spool, and the age of the oldest in seconds.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    def __init__(
        self,
        account: Account,
        backlog: Callable[[], tuple[int, float]],
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        self._tracer_provider = tracer_provider
        self.tracer = trace.get_tracer(names.SCOPE, tracer_provider=tracer_provider)
        self._logger = (logger_provider or otel_logs.get_logger_provider()).get_logger(names.SCOPE)
        self._durations = _instruments(meter_provider).attach(account, backlog)
        self._announce_failed = False

    def stamp_spans(self) -> None:
        """Let spans carry the correlation id in force (E9); called when one is met."""
        stamp_spans_of(self._tracer_provider or trace.get_tracer_provider())

    def announce(self, event: KpiEvent) -> None:
        """Emit the OpenTelemetry event of a KPI event. Never raises: processors are the application's."""
        try:
            if self._logger.enabled(event_name=names.EVENT_NAME):
                self._logger.emit(otel_logs.to_record(event))
        except Exception:
            if not self._announce_failed:
                self._announce_failed = True
                _log.exception("an OpenTelemetry log processor raised on a KPI event; said once")

    def record_duration(self, tally: Tally, seconds: float) -> None:
        """Record the duration of a timed step."""
        self._durations.record(seconds, _labels(tally.series, tally.outcome))


class _Instruments:
    """golive's instruments in one meter provider, made once; they show whichever account is attached."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._account = Account()
        self._backlog: Callable[[], tuple[int, float]] = lambda: (0, 0.0)
        meter.create_observable_counter(
            names.KPI_EVENTS, [self._events], "{event}", "KPI events that are true and durable"
        )
        meter.create_observable_up_down_counter(
            names.KPI_VALUE_SUM, [self._value_sums], "", "Sum of the values of KPI events"
        )
        meter.create_observable_gauge(
            names.KPI_VALUE_LAST, [self._value_lasts], "", "Latest value of a KPI event"
        )
        meter.create_observable_counter(
            names.EXPORTED_EVENTS,
            [self._exported],
            "{event}",
            "KPI events delivered from the spool to the store",
        )
        meter.create_observable_counter(
            names.DISCARDED_EVENTS, [self._discarded], "{event}", "KPI events not recorded, by reason"
        )
        meter.create_observable_gauge(
            names.SPOOL_EVENTS, [self._spooled], "{event}", "KPI events waiting in the spool"
        )
        meter.create_observable_gauge(
            names.SPOOL_OLDEST_AGE, [self._oldest_age], "s", "Age of the oldest KPI event in the spool"
        )
        self._durations = meter.create_histogram(
            names.KPI_STEP_DURATION,
            "s",
            "Duration of timed steps",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS_S,
        )

    def attach(self, account: Account, backlog: Callable[[], tuple[int, float]]) -> metrics.Histogram:
        """Show this account from now on."""
        self._account, self._backlog = account, backlog
        return self._durations

    def _events(self, _: CallbackOptions) -> Iterable[Observation]:
        counts = self._account.snapshot().events
        return [
            Observation(count, _labels((domain, metric), outcome))
            for (domain, metric, outcome), count in counts.items()
        ]

    def _value_sums(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(total, _labels(series))
            for series, total in self._account.snapshot().value_sum.items()
        ]

    def _value_lasts(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(last, _labels(series)) for series, last in self._account.snapshot().value_last.items()
        ]

    def _exported(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._account.exported)]

    def _discarded(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {"reason": reason})
            for reason, count in self._account.snapshot().discarded.items()
        ]

    def _spooled(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._backlog()[0])]

    def _oldest_age(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self._backlog()[1])]


_lock = threading.Lock()
# One entry a provider, None for the global one: to make an instrument twice would count twice. Providers live
# as long as the process, as a rule.
_instruments_of: dict[MeterProvider | None, _Instruments] = {}


def _instruments(meter_provider: MeterProvider | None) -> _Instruments:
    """Return the instruments in this provider, or in the global one, be it set already or later."""
    given = None if meter_provider is metrics.get_meter_provider() else meter_provider
    with _lock:
        if given not in _instruments_of:
            _instruments_of[given] = _Instruments(metrics.get_meter(names.SCOPE, meter_provider=given))
        return _instruments_of[given]


def _labels(series: Series, outcome: str | None = None) -> Mapping[str, str]:
    labels = {"domain": series[0], "metric": series[1]}
    return labels if outcome is None else {**labels, "outcome": outcome}
