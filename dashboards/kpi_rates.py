"""KPI rates: how often each KPI happens and succeeds, its values, and how long its steps take."""

from grafana_foundation_sdk.builders import dashboard

from dashboards import panels

_CHOSEN = 'job=~"$job", domain=~"$domain", metric=~"$metric"'
_LEGEND = "{{domain}}.{{metric}}"
_OUTCOME = _LEGEND + " {{outcome}}"


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    board = (
        panels.board(
            "golive-kpi",
            "KPI rates",
            "Rate, success, values and durations of business KPIs, by domain and metric",
        )
        .with_variable(panels.job())
        .with_variable(
            panels.choice(
                "domain",
                "Domain",
                "Which business domains",
                'label_values(golive_kpi_events_total{job=~"$job"}, domain)',
            )
        )
        .with_variable(
            panels.choice(
                "metric",
                "Metric",
                "Which of their metrics",
                'label_values(golive_kpi_events_total{job=~"$job", domain=~"$domain"}, metric)',
            )
        )
    )
    _events(board)
    _values(board)
    _durations(board)
    return board


def _events(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Rate and success"))
    board.with_panel(
        panels.graph(
            "Events",
            "Events a second that are true and durable, by outcome. A diamond is an event whose trace was "
            "sampled, and leads to it.",
            "cps",
            panels.query(
                "sum by (domain, metric, outcome) "
                f"(rate(golive_kpi_events_total{{{_CHOSEN}}}[$__rate_interval]))",
                _OUTCOME,
                exemplars=True,
            ),
        ).axis_soft_min(0)
    )
    board.with_panel(
        panels.graph(
            "Success ratio",
            "Share of the decided events, of success or failure, of the last 30 minutes that succeeded; "
            "dashed: of the last day. KpiSuccessRateDrop fires at 0.8 of the dashed line.",
            "percentunit",
            panels.query(f"domain_metric:golive_kpi_success:ratio_rate30m{{{_CHOSEN}}}", _LEGEND),
            panels.query(
                f"domain_metric:golive_kpi_success:ratio_rate1d{{{_CHOSEN}}}", _LEGEND + " (day)", ref="B"
            ),
        )
        .min(0)
        .max(1)
        .override_by_query("B", [panels.dashed()])
    )
    board.with_panel(
        panels.bars(
            "Success ratio now",
            "Share of the decided events of the last 30 minutes that succeeded",
            "percentunit",
            f"domain_metric:golive_kpi_success:ratio_rate30m{{{_CHOSEN}}}",
            _LEGEND,
        )
        .min(0)
        .max(1)
    )
    board.with_panel(
        panels.bars(
            "Decided events",
            "Events of the last 30 minutes that succeeded or failed: how much the ratio beside rests on. "
            "Below 50 no alert is made of it.",
            "short",
            f"domain_metric:golive_kpi_decided:increase30m{{{_CHOSEN}}}",
            _LEGEND,
        ).min(0)
    )


def _values(board: dashboard.Dashboard) -> None:
    valued = _unless_begun_anew("increase(golive_kpi_value_count{}[{}])", "$__rate_interval")
    board.with_row(dashboard.Row("Values"))
    board.with_panel(
        panels.graph(
            "Mean value",
            "Mean of the values that events carried, in their own unit; no line while none came",
            "short",
            panels.query(f"{_gained('$__rate_interval')} / ({valued} > 0)", _LEGEND),
            span=8,
        )
    )
    board.with_panel(
        panels.graph(
            "Latest value",
            "The value that happened last, in its own unit",
            "short",
            panels.query(f"max by (domain, metric) (golive_kpi_value_last{{{_CHOSEN}}})", _LEGEND),
            span=8,
        )
    )
    board.with_panel(
        panels.graph(
            "Sum of values in an hour",
            "What the values of the last hour add up to, in their own unit: profit, loss, volume",
            "short",
            panels.query(_gained("1h"), _LEGEND),
            span=8,
        )
    )


def _gained(over: str) -> str:
    """Return by how much sums of values changed: they fall where values are negative, so no rate will do."""
    return _unless_begun_anew("delta(golive_kpi_value_sum{}[{}])", over)


def _unless_begun_anew(change: str, over: str) -> str:
    """Return a change summed over instances, but for those that counted anew: they lost nothing."""
    chosen = f"{{{_CHOSEN}}}"
    changed = change.format(chosen, over)
    return f"sum by (domain, metric) ({changed} unless resets(golive_kpi_value_count{chosen}[{over}]) > 0)"


def _durations(board: dashboard.Dashboard) -> None:
    bucket = f"golive_kpi_step_duration_seconds_bucket{{{_CHOSEN}}}"
    board.with_row(dashboard.Row("Durations of timed steps"))
    board.with_panel(
        panels.graph(
            "95th percentile",
            "Nineteen of twenty steps of the last five minutes took less, by outcome",
            "s",
            panels.query(
                f"domain_metric_outcome:golive_kpi_step_duration_seconds:p95_rate5m{{{_CHOSEN}}}", _OUTCOME
            ),
        ).axis_soft_min(0)
    )
    board.with_panel(
        panels.graph(
            "Median and 99th percentile",
            "Half of the steps took less than the lower line, 99 of 100 less than the upper. A diamond is a "
            "step whose trace was sampled, and leads to it.",
            "s",
            panels.query(
                f"histogram_quantile(0.5, sum by (domain, metric, le) (rate({bucket}[$__rate_interval])))",
                _LEGEND + " p50",
            ),
            panels.query(
                f"histogram_quantile(0.99, sum by (domain, metric, le) (rate({bucket}[$__rate_interval])))",
                _LEGEND + " p99",
                exemplars=True,
                ref="B",
            ),
        ).axis_soft_min(0)
    )
    board.with_panel(
        panels.graph(
            "Mean duration",
            "Mean of the durations of the steps that ended, by outcome",
            "s",
            panels.query(
                "sum by (domain, metric, outcome) "
                f"(rate(golive_kpi_step_duration_seconds_sum{{{_CHOSEN}}}[$__rate_interval]))"
                " / (sum by (domain, metric, outcome) "
                f"(rate(golive_kpi_step_duration_seconds_count{{{_CHOSEN}}}[$__rate_interval])) > 0)",
                _OUTCOME,
            ),
        ).axis_soft_min(0)
    )
    board.with_panel(
        panels.spectrum(
            "Durations",
            "How many steps took how long: the whole histogram of what is chosen",
            "s",
            panels.buckets(f"sum by (le) (increase({bucket}[$__rate_interval]))"),
        )
    )
