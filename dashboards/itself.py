"""golive itself: is it there, does every event reach the store, is the gate's answer fresh."""

from grafana_foundation_sdk.builders import dashboard

from dashboards import panels
from dashboards.panels import GREEN, RED, YELLOW

_JOB = 'job=~"$job"'


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    board = panels.board(
        "golive-itself", "golive itself", "The spool, deliveries, discards, evaluations and scrapes of golive"
    ).with_variable(panels.job())
    _pipeline(board)
    _evaluations(board)
    return board


def _pipeline(board: dashboard.Dashboard) -> None:
    board.with_panel(
        panels.timeline(
            "Up",
            "Whether each instance answers Prometheus",
            {"1": ("up", GREEN), "0": ("DOWN", RED)},
            panels.query(f"up{{{_JOB}}}", "{{instance}}"),
        )
    )
    board.with_panel(
        panels.graph(
            "Delivered",
            "Events a second delivered from the spool to the store. Events in a transaction of the business "
            "go there with it, past the spool.",
            "cps",
            panels.query(f"rate(golive_exported_events_total{{{_JOB}}}[$__rate_interval])", "{{instance}}"),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Waiting in the spool",
            "Events on disk that wait for the store",
            "short",
            panels.query(f"golive_spool_events{{{_JOB}}}", "{{instance}}"),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Age of the oldest waiting event",
            "SpoolBacklog fires above a minute",
            "s",
            panels.query(f"golive_spool_oldest_age_seconds{{{_JOB}}}", "{{instance}}"),
        )
        .min(0)
        .thresholds(panels.steps((None, GREEN), (60, RED)))
        .thresholds_style(panels.line_at_threshold())
    )
    board.with_panel(
        panels.graph(
            "Deliveries that failed",
            "Batches the store did not take, an hour; they are tried again",
            "short",
            panels.query(f"increase(golive_export_failures_total{{{_JOB}}}[1h])", "{{instance}}"),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Discarded",
            "Events that were not recorded, an hour, by reason. Those of rollback and uncommitted never "
            "became true; any other is a loss, and EventsDiscarded fires.",
            "short",
            panels.query(
                f"sum by (reason) (increase(golive_discarded_events_total{{{_JOB}}}[1h]))", "{{reason}}"
            ),
        ).min(0)
    )


def _evaluations(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Evaluations and scrapes"))
    board.with_panel(
        panels.graph(
            "Duration of an evaluation",
            "How long the last evaluation took: of the runbook, of the levers, of the go-live state",
            "s",
            panels.query(f"golive_evaluation_duration_seconds{{{_JOB}}}", "{{of}} {{instance}}"),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Duration of a scrape",
            "How long golive took to answer Prometheus; it waits five seconds for the database at most",
            "s",
            panels.query(f"scrape_duration_seconds{{{_JOB}}}", "{{instance}}"),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Age of the runbook",
            "Since the runbook was evaluated; RunbookEvaluationStale fires above two minutes",
            "s",
            panels.query(f"time() - golive_runbook_evaluated_timestamp_seconds{{{_JOB}}}", "{{instance}}"),
        )
        .min(0)
        .thresholds(panels.steps((None, GREEN), (60, YELLOW), (120, RED)))
        .thresholds_style(panels.line_at_threshold())
    )
    board.with_panel(
        panels.graph(
            "Age of each tripwire's verdict",
            "Since it was evaluated: on a schedule, after so many events, or by hand",
            "s",
            panels.query(
                f"time() - max by (domain, metric) (golive_tripwire_evaluated_timestamp_seconds{{{_JOB}}})",
                "{{domain}}.{{metric}}",
            ),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Series",
            "Pairs of domain and metric that have series of their own. Past GOLIVE_MAX_SERIES, 400 by "
            "default, further ones are counted together.",
            "short",
            panels.query(
                "count by (instance) "
                f"(count by (instance, domain, metric) (golive_kpi_events_total{{{_JOB}}}))",
                "{{instance}}",
            ),
        ).min(0)
    )
    board.with_panel(
        panels.graph(
            "Samples of a scrape",
            "What one scrape brings: it grows with the series",
            "short",
            panels.query(f"scrape_samples_scraped{{{_JOB}}}", "{{instance}}"),
        ).min(0)
    )
