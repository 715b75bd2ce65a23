"""The KPI account of a host as Prometheus metrics, whatever number of processes counted it.

    registry = CollectorRegistry()
    registry.register(KpiCollector())                       # in any process of the host …
    body, content_type = render(registry, accept_header)    # … a scrape sees what all of them counted

Not OpenTelemetry's Prometheus exporter, which shows one process's numbers, and loses them with it; and not
`prometheus_client`'s multiprocess mode, which takes no collectors: the processes of a host share one account
of true events anyway, and this reads it.
"""

from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as Sampled
from prometheus_client.utils import floatToGoString

from golive import names, pipeline
from golive.account import DURATION_BUCKETS_S, bucket_of
from golive.host_account import Durations, Exemplar, HostAccount

__all__ = ["KpiCollector", "render"]

_BOUNDS: Final = [*map(floatToGoString, DURATION_BUCKETS_S), "+Inf"]


class KpiCollector(Collector):
    """Shows KPI events, their values and durations, and what the pipeline does with them.

    Of all processes of the host, for the store this one records to.
    """

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; called by the registry at each scrape. Reads files, never the store."""
        host = pipeline.host_account()
        yield _events(host)
        yield from _values(host)
        yield _durations(host)
        yield from _pipeline(host)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is must not be read just to be registered."""
        return []


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return a scrape's body and its content type: OpenMetrics, with exemplars, for whoever accepts it."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _events(host: HostAccount) -> Metric:
    family = CounterMetricFamily(
        "golive_kpi_events", "KPI events that are true and durable", labels=["domain", "metric", "outcome"]
    )
    for labels, count in sorted(host.events.items()):
        exemplar = host.exemplars.get(labels)
        family.add_metric(labels, count, exemplar=_sampled(exemplar, 1.0) if exemplar else None)
    return family


def _values(host: HostAccount) -> Iterable[Metric]:
    total = SummaryMetricFamily(
        "golive_kpi_value", "Values of KPI events: how many, and their sum", labels=["domain", "metric"]
    )
    last = GaugeMetricFamily(
        "golive_kpi_value_last", "Latest value of a KPI event", labels=["domain", "metric"]
    )
    for series, values in sorted(host.values.items()):
        total.add_metric(series, values.events, values.total)
        last.add_metric(series, values.last)
    yield total
    yield last


def _durations(host: HostAccount) -> Metric:
    family = HistogramMetricFamily(
        "golive_kpi_step_duration_seconds", "Duration of timed steps", labels=["domain", "metric", "outcome"]
    )
    for labels, durations in sorted(host.durations.items()):
        family.add_metric(labels, _buckets(durations, host.exemplars.get(labels)), durations.total_s)
    return family


def _buckets(
    durations: Durations, exemplar: Exemplar | None
) -> list[tuple[str, float] | tuple[str, float, Sampled]]:
    """Return upper bound and cumulative count of each bucket, and with one of them the exemplar."""
    buckets: list[tuple[str, float] | tuple[str, float, Sampled]] = [
        *zip(_BOUNDS, accumulate(durations.buckets), strict=True)
    ]
    if exemplar is not None and exemplar.seconds is not None:
        at = bucket_of(exemplar.seconds)
        bound, count, *_ = buckets[at]
        buckets[at] = (bound, count, _sampled(exemplar, exemplar.seconds))
    return buckets


def _sampled(exemplar: Exemplar, value: float) -> Sampled:
    return Sampled({"trace_id": exemplar.trace_id}, value, exemplar.at_s)


def _pipeline(host: HostAccount) -> Iterable[Metric]:
    yield GaugeMetricFamily("golive_spool_events", "KPI events waiting in the spool", host.spool_events)
    yield GaugeMetricFamily(
        "golive_spool_oldest_age_seconds", "Age of the oldest KPI event in the spool", host.spool_oldest_age_s
    )
    yield CounterMetricFamily(
        "golive_exported_events", "KPI events delivered from the spool to the store", host.exported
    )
    yield CounterMetricFamily(
        "golive_export_failures",
        "Deliveries to the store that failed and are tried again",
        host.failures.times,
    )
    discarded = CounterMetricFamily(
        "golive_discarded_events", "KPI events not recorded, by reason", labels=["reason"]
    )
    # Every reason from the start, at 0: an increase is seen only in a series that was there before it.
    for reason in sorted({*names.DISCARDS, *host.discarded}):
        counted = host.discarded.get(reason)
        discarded.add_metric([reason], counted.times if counted else 0)
    yield discarded
