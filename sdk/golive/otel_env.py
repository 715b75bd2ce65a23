"""Providers made from the standard `OTEL_*` variables, for an application that has set up none itself.

They are golive's own and never become the global ones, so that an application may still set those.
"""

import logging
import os
import threading
import time
from typing import Any, Literal, NamedTuple

from opentelemetry import metrics, trace

from golive import otel_logs

_log = logging.getLogger(__name__)

Signal = Literal["traces", "metrics", "logs"]


class Providers(NamedTuple):
    """One provider a signal; None where the global one is to be used."""

    tracer: trace.TracerProvider | None = None
    meter: metrics.MeterProvider | None = None
    logger: otel_logs.LoggerProvider | None = None

    def close(self, timeout_s: float) -> None:
        """Send what they still hold, for so long at most, and end them.

        In threads, for an exporter whose receiver is away takes ten seconds for each batch, whatever the
        timeout its provider is given.
        """
        deadline = time.monotonic() + timeout_s
        ending = [
            threading.Thread(target=_shut_down, args=(provider,), name="golive-otlp-end", daemon=True)
            for provider in self
            if provider is not None
        ]
        try:
            for thread in ending:
                thread.start()
        except RuntimeError:
            return  # the interpreter is ending, and starts no threads any more
        for thread in ending:
            thread.join(max(deadline - time.monotonic(), 0.0))


def _shut_down(provider: Any) -> None:
    try:
        provider.shutdown()
    except Exception as error:  # an exporter's own; telemetry only (E6)
        _log.warning("telemetry may be missing: %s", type(error).__name__)


def providers_from_environment() -> Providers:
    """Return providers that export as `OTEL_*` says; None for a signal it doesn't mention or the app has.

    `OTEL_TRACES_EXPORTER` (`_METRICS_`, `_LOGS_`) names the exporter; an OTLP endpoint alone means `otlp`.
    An exporter that is not installed is one error in the log, and that signal is not exported.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Providers()
    current_providers: dict[Signal, object] = {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": otel_logs.get_logger_provider(),
    }
    made: dict[Signal, Any] = {}
    for signal, current in current_providers.items():
        if _is_unset(current) and (name := exporter_name(signal)):
            try:
                made[signal] = _provider(signal, name)
            except Exception as error:  # any exporter's constructor; telemetry only (E6)
                _log.error("%s are not exported: %s (for OTLP install golive[otlp])", signal, error)
    return Providers(made.get("traces"), made.get("metrics"), made.get("logs"))


def _is_unset(provider: object) -> bool:
    return type(provider).__name__.lstrip("_").startswith("Proxy")


def exporter_name(signal: Signal) -> str | None:
    """Return the exporter the environment asks for, or None."""
    named = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if named:
        return None if named.lower() == "none" else named
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return "otlp" if any(os.environ.get(endpoint) for endpoint in endpoints) else None


def _provider(signal: Signal, names: str) -> Any:
    # OpenTelemetry's own reading of the variables; private, and pinned with the SDK's minor version.
    from opentelemetry.sdk import _configuration as sdk

    resolved = [sdk._get_exporter_entry_point(name.strip(), signal) for name in names.split(",")]
    spans, readers, logs = sdk._import_exporters(
        *(resolved if wanted == signal else [] for wanted in ("traces", "metrics", "logs"))
    )
    if signal == "traces":
        return _tracer_provider(list(spans.values()))
    if signal == "metrics":
        return _meter_provider(list(readers.values()))
    return _logger_provider(list(logs.values()))


def _tracer_provider(exporters: list[Any]) -> trace.TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)  # the pipeline does, within its time
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter()))
    return provider


def _meter_provider(exporters: list[Any]) -> metrics.MeterProvider:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

    def reader(exporter: Any) -> MetricReader:
        made = exporter()
        return made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)

    return MeterProvider([reader(exporter) for exporter in exporters], shutdown_on_exit=False)


def _logger_provider(exporters: list[Any]) -> otel_logs.LoggerProvider:
    provider = otel_logs.SdkLoggerProvider(shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_log_record_processor(otel_logs.BatchLogRecordProcessor(exporter()))
    return provider
