"""Every name golive gives OpenTelemetry: of a metric, an attribute, a span or an event.

Metric names are OpenTelemetry instrument names; Prometheus shows `golive.kpi.events` as
`golive_kpi_events_total` and `golive.kpi.step.duration` as `golive_kpi_step_duration_seconds`. What is shown
to Prometheus alone is named where it is made, in `golive.exporters.prometheus` and the modules beside it;
`docs/metrics.md` lists all.
"""

from typing import Final

SCOPE: Final = "golive"
"""The OpenTelemetry instrumentation scope of every span, metric and event."""

EVENT_NAME: Final = "kpi.event"
"""`event_name` of the OpenTelemetry log record that carries a KPI event."""

# Attributes of spans and events.
EVENT_ID: Final = "golive.event_id"
EMITTER: Final = "golive.emitter"
DOMAIN: Final = "golive.domain"
METRIC: Final = "golive.metric"
OUTCOME: Final = "golive.outcome"
VALUE: Final = "golive.value"
ACTOR: Final = "golive.actor"
CORRELATION_ID: Final = "golive.correlation_id"
"""Span and event attribute, and the key of the W3C baggage entry that carries it between services (E9)."""
DETAIL: Final = "golive.detail"
DURATION_MS: Final = "golive.duration_ms"

# Outcomes: the value of `golive.outcome` and of the metric label `outcome`.
SUCCESS: Final = "success"
FAILURE: Final = "failure"
VALUE_OUTCOME: Final = "value"
CANCELLED: Final = "cancelled"

# Metrics. Labels are domain, metric and outcome only (E7).
KPI_EVENTS: Final = "golive.kpi.events"
KPI_VALUE_SUM: Final = "golive.kpi.value.sum"
KPI_VALUE_LAST: Final = "golive.kpi.value.last"
KPI_STEP_DURATION: Final = "golive.kpi.step.duration"
SPOOL_EVENTS: Final = "golive.spool.events"
SPOOL_OLDEST_AGE: Final = "golive.spool.oldest_age"
EXPORTED_EVENTS: Final = "golive.exported.events"
DISCARDED_EVENTS: Final = "golive.discarded.events"

OVERFLOW: Final = "__overflow__"
"""Label of every (domain, metric) pair past the limit of pairs (E7)."""

# Values of the label `reason` of `golive.discarded.events`.
DISCARD_ROLLBACK: Final = "rollback"
"""The transaction, or the savepoint, was rolled back: the event never became true."""
DISCARD_UNCOMMITTED: Final = "uncommitted"
"""The session had written, and ended with neither commit nor rollback."""
DISCARD_SPOOL_FULL: Final = "spool_full"
DISCARD_DISK: Final = "disk"
"""The spool could not be written: disk full, folder gone."""
DISCARD_CORRUPT: Final = "corrupt"
"""A damaged line of the spool; it was put aside in `quarantine.log`."""
DISCARD_REJECTED: Final = "rejected"
"""The store refuses the event for its values; it was put aside in `quarantine.log`."""
DISCARD_ERROR: Final = "error"
"""The pipeline could not start, or has a bug; the log says which."""

LOSSES: Final = (DISCARD_SPOOL_FULL, DISCARD_DISK, DISCARD_CORRUPT, DISCARD_REJECTED, DISCARD_ERROR)
"""Reasons that cost a true event its row; the others say that it never became true."""
DISCARDS: Final = (DISCARD_ROLLBACK, DISCARD_UNCOMMITTED, *LOSSES)
"""Every reason."""

CORRELATION_HEADER: Final = "X-Correlation-ID"

CLOSING_CONSTRAINT: Final = "golive_closing"
"""On a partition of `kpi_event` while its end is being proved: an event from after it waits until it is."""
