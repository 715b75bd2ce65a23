"""Correlation: what happened in deal 123, as events of the store and as spans, and from each to the other."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards import panels
from dashboards.panels import GREEN, GREY, RED

_UID: Final = "golive-correlation"

# `sqlstring` and `doublequote` quote what was typed, quotes in it included: it cannot end the literal.
_EVENTS = """
    SELECT created_at AS "when", domain, metric,
           CASE WHEN success THEN 'success' WHEN NOT success THEN 'failure'
                WHEN value IS NULL THEN 'cancelled' ELSE 'value' END AS outcome,
           value, duration_ms, actor, correlation_id, trace_id, span_id, detail, id::text AS id
    FROM kpi_event WHERE {} ORDER BY created_at, id LIMIT 1000
"""
_OF_THE_ID = "correlation_id = ${correlation_id:sqlstring}"
_OF_THE_TRACE = "trace_id = ${trace_id:sqlstring}"
_SPANS = (
    "{ span.golive.correlation_id = ${correlation_id:doublequote} } | select(span.golive.correlation_id, "
    "span.golive.domain, span.golive.metric, span.golive.outcome, span.golive.actor)"
)
_OUTCOMES = {
    "success": ("success", GREEN),
    "failure": ("failure", RED),
    "value": ("value", "blue"),
    "cancelled": ("cancelled", GREY),
}


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    board = (
        panels.board(
            _UID, "Correlation", "Everything that happened under one correlation id", since="now-24h"
        )
        .with_variable(
            dashboard.TextBoxVariable("correlation_id")
            .label("Correlation id")
            .description("Such as deal_123; spans are looked for in the time range, events in all time")
        )
        .with_variable(
            dashboard.TextBoxVariable("trace_id")
            .label("Trace id")
            .description("Of one trace: a click on a trace id below fills it in")
        )
    )
    _summary(board)
    _both_sides(board)
    _trace(board)
    return board


def _summary(board: dashboard.Dashboard) -> None:
    statement = f"""
        SELECT count(*) AS events, count(*) FILTER (WHERE NOT success) AS failures,
               count(DISTINCT trace_id) AS traces, min(created_at) AS "from", max(created_at) AS "to",
               1000 * extract(epoch FROM max(created_at) - min(created_at)) AS "between"
        FROM kpi_event WHERE {_OF_THE_ID}
    """
    board.with_panel(
        panels.rows(
            "In short",
            "How many events the id has, how many of them failed, in how many traces, and from when to when",
            panels.POSTGRES,
            panels.Sql(statement),
            span=24,
            height=4,
        ).override_by_name("between", [panels.unit("ms")])
    )


def _both_sides(board: dashboard.Dashboard) -> None:
    board.with_panel(
        panels.rows(
            "Events",
            "The rows of the id in the store, the oldest first, sampled or not. A click on a trace id shows "
            "the trace below.",
            panels.POSTGRES,
            panels.Sql(_EVENTS.format(_OF_THE_ID)),
            span=24,
            height=10,
        )
        .override_by_name("duration_ms", [panels.unit("ms")])
        .override_by_name("outcome", [panels.mapped(_OUTCOMES), panels.coloured_cell()])
        .override_by_name(
            "trace_id",
            [panels.link("Show this trace", _here("correlation_id", "__value.raw"))],
        )
    )
    board.with_panel(
        panels.rows(
            "Spans",
            "The sampled spans of the id, of every service it went through. A click on a trace id shows the "
            "trace below.",
            panels.TEMPO,
            panels.traceql(_SPANS),
            span=24,
            height=10,
        ).override_by_regexp(
            "/(?i)^trace ?id$/",
            [panels.link("Show this trace", _here("correlation_id", "__value.raw"))],
        )
    )


def _trace(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("The trace"))
    board.with_panel(
        dashboard.Panel()
        .type("traces")
        .title("Spans of the trace")
        .description("The whole trace, with the spans that carry no correlation id")
        .unit("none")
        .span(24)
        .height(14)
        .datasource(panels.TEMPO)
        .with_target(panels.traceql("$trace_id"))
    )
    board.with_panel(
        panels.rows(
            "Events of the trace",
            "The rows that were recorded in it. A click on a correlation id leads to all of its events and "
            "spans.",
            panels.POSTGRES,
            panels.Sql(_EVENTS.format(_OF_THE_TRACE)),
            span=24,
        )
        .override_by_name("duration_ms", [panels.unit("ms")])
        .override_by_name("outcome", [panels.mapped(_OUTCOMES), panels.coloured_cell()])
        .override_by_name(
            "correlation_id",
            [panels.link("Everything of this id", _here("__value.raw", "trace_id"))],
        )
    )


def _here(correlation_id: str, trace_id: str) -> str:
    """Return the address of this dashboard, in the same time range, for what two variables hold."""
    ids = f"var-correlation_id=${{{correlation_id}:percentencode}}&var-trace_id=${{{trace_id}:percentencode}}"
    return f"/d/{_UID}?${{__url_time_range}}&{ids}"
