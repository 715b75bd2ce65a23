"""Go-live control plane: may production be enabled, is it, and what holds the engines back."""

from grafana_foundation_sdk.builders import dashboard

from dashboards import panels
from dashboards.panels import GREEN, GREY, RED, YELLOW

_JOB = 'job=~"$job"'
_WIRE = "{{domain}}.{{metric}}"
_PASSES = {"1": ("passes", GREEN), "0": ("fails", RED)}
_VERDICT = {
    "1": ("ok", GREEN),
    "2": ("suspect", YELLOW),
    "3": ("triggered", RED),
    "4": ("insufficient data", GREY),
    "5": ("blind", "purple"),
}


def build() -> dashboard.Dashboard:
    """Return the dashboard."""
    board = panels.board(
        "golive-control",
        "Go-live control plane",
        "Runbook and blockers, go-live and kill switch, risk against its limits, tripwires, charter",
    ).with_variable(panels.job())
    _switches(board)
    _runbook(board)
    _risk(board)
    _tripwires(board)
    _charter(board)
    return board


def _switches(board: dashboard.Dashboard) -> None:
    board.with_panel(
        panels.switch(
            "May go-live be enabled?",
            "Whether the runbook has no blocker",
            f"min(golive_runbook_ok_to_enable_go_live{{{_JOB}}})",
            {"1": ("GO", GREEN), "0": ("NO-GO", RED)},
        )
    )
    board.with_panel(
        panels.switch(
            "Go-live",
            "Whether requests that act in production are let through; unknown shows as off",
            f"min(golive_go_live_enabled{{{_JOB}}})",
            {"1": ("ENABLED", GREEN), "0": ("OFF", GREY)},
        )
    )
    board.with_panel(
        panels.switch(
            "Kill switch",
            "Engaged, it beats everything: what acts in production is refused",
            f"max(golive_kill_switch_engaged{{{_JOB}}})",
            {"0": ("clear", GREEN), "1": ("ENGAGED", RED)},
        )
    )
    board.with_panel(
        panels.figure(
            "Blockers",
            "Failing checks of severity BLOCKER",
            "short",
            f"max(golive_runbook_blockers{{{_JOB}}})",
        ).thresholds(panels.steps((None, GREEN), (1, RED)))
    )
    board.with_panel(
        panels.figure(
            "Tripped tripwires",
            "Latched until a person re-arms them",
            "short",
            f"sum(max without (instance) (golive_tripwire_triggered{{{_JOB}}}))",
        ).thresholds(panels.steps((None, GREEN), (1, RED)))
    )
    board.with_panel(
        panels.figure(
            "Alerts that fire",
            "Of golive's rules; Alertmanager decides who is told",
            "short",
            f'count(ALERTS{{alertstate="firing", {_JOB}}}) or vector(0)',
        ).thresholds(panels.steps((None, GREEN), (1, RED)))
    )
    board.with_panel(
        panels.timeline(
            "Go-live and kill switch",
            "Go-live in green while enabled, the kill switch in red while engaged",
            {"0": ("off", GREY), "1": ("enabled", GREEN), "2": ("engaged", RED)},
            panels.query(f"min(golive_go_live_enabled{{{_JOB}}})", "go-live"),
            panels.query(f"2 * max(golive_kill_switch_engaged{{{_JOB}}})", "kill switch", ref="B"),
        )
    )
    board.with_panel(
        panels.graph(
            "Blockers over time",
            "Failing checks of severity BLOCKER, by installation",
            "short",
            panels.query(f"max by (job) (golive_runbook_blockers{{{_JOB}}})", "{{job}}"),
        )
        .min(0)
        .decimals(0)
    )


def _runbook(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Runbook"))
    board.with_panel(
        panels.timeline(
            "Checks",
            "Each check of the runbook: green while it passes; red while it fails, or could not be made",
            _PASSES,
            panels.query(f"min by (check) (golive_runbook_check_ok{{{_JOB}}})", "{{check}}"),
            span=16,
        )
    )
    board.with_panel(
        panels.rows(
            "Checks that fail",
            "What each says, and what to do about it: golive runbook",
            panels.PROMETHEUS,
            panels.now(f"min by (check, severity) (golive_runbook_check_ok{{{_JOB}}}) == 0"),
            span=8,
        )
        .with_transformation(panels.columns(["severity", "check"], hidden=["Time", "Value"]))
        .no_value("every check passes")
    )


def _risk(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Risk"))
    board.with_panel(
        panels.bars(
            "Share of each cap that is used",
            "Of the caps in force, by engine and kind. RiskCapNearlyUsed fires above 90 %; at 100 % actions "
            "are denied.",
            "percentunit",
            f"engine_kind:golive_risk_used:ratio{{{_JOB}}}",
            "{{engine}} {{kind}}",
        )
        .min(0)
        .max(1)
        .thresholds(panels.steps((None, GREEN), (0.7, YELLOW), (0.9, RED)))
    )
    for title, used, kind in (
        ("Exposure", "golive_risk_exposure_used", "exposure"),
        ("Open risk", "golive_risk_open_risk", "open_risk"),
        ("Realized loss", "golive_risk_realized_loss", "loss"),
        ("Actions", "golive_risk_actions", "actions"),
    ):
        board.with_panel(
            panels.graph(
                title,
                f"{title} of today, by engine, and dashed its cap in force",
                "short",
                panels.query(f"max by (engine) ({used}{{{_JOB}}})", "{{engine}}"),
                panels.query(
                    f'max by (engine) (golive_risk_limit{{{_JOB}, kind="{kind}"}})', "{{engine}} cap", ref="B"
                ),
            )
            .min(0)
            .override_by_query("B", [panels.dashed()])
        )
    board.with_panel(
        panels.graph(
            "Throttle and denials",
            "Share of the caps in force, 0 where an engine may not act; and the denials of today",
            "short",
            panels.query(f"min by (engine) (golive_risk_throttle{{{_JOB}}})", "{{engine}} throttle"),
            panels.query(f"max by (engine) (golive_risk_denials{{{_JOB}}})", "{{engine}} denials", ref="B"),
        )
        .min(0)
        .override_by_query("A", [panels.unit("percentunit"), panels.axis_right()])
    )


def _tripwires(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Tripwires"))
    board.with_panel(
        panels.timeline(
            "Tripped",
            "From the trip to its re-arm",
            {"0": ("armed", GREEN), "1": ("TRIPPED", RED)},
            panels.query(f"max by (domain, metric) (golive_tripwire_triggered{{{_JOB}}})", _WIRE),
        )
    )
    verdicts = " or ".join(
        f'{value} * (max by (domain, metric) (golive_tripwire_verdict{{{_JOB}, verdict="{verdict}"}}) == 1)'
        for value, verdict in zip(
            _VERDICT, ("ok", "suspect", "triggered", "insufficient_data", "blind"), strict=True
        )
    )
    board.with_panel(
        panels.timeline(
            "Verdicts",
            "Of the last evaluation. Insufficient data is no pass, and a blind wire sees no events any more.",
            _VERDICT,
            panels.query(verdicts, _WIRE),
        )
    )
    board.with_panel(
        panels.graph(
            "Drop",
            "Share by which the window is below the baseline, negative above it; dashed: the smallest drop "
            "that could be told from chance",
            "percentunit",
            panels.query(f"max by (domain, metric) (golive_tripwire_drop_ratio{{{_JOB}}})", _WIRE),
            panels.query(
                f"min by (domain, metric) (golive_tripwire_detectable_drop_ratio{{{_JOB}}})",
                _WIRE + " detectable",
                ref="B",
            ),
        ).override_by_query("B", [panels.dashed()])
    )
    board.with_panel(
        panels.rows(
            "Tripwires",
            "Whether each is evaluated and trips, and how often it would have tripped in shadow mode",
            panels.PROMETHEUS,
            panels.now(f"max by (domain, metric) (golive_tripwire_enabled{{{_JOB}}})"),
        )
        .with_target(panels.now(f"max by (domain, metric) (golive_tripwire_shadow_trips{{{_JOB}}})", ref="B"))
        .with_transformation(panels.merged())
        .with_transformation(
            panels.columns(
                ["domain", "metric"],
                hidden=["Time"],
                renamed={"Value #A": "enabled", "Value #B": "shadow trips"},
            )
        )
        .override_by_name("enabled", [panels.mapped({"1": ("yes", GREEN), "0": ("no", GREY)})])
    )


def _charter(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Confidence charter"))
    board.with_panel(
        panels.timeline(
            "Production may use the recommendations of",
            "By policy, and by the scorecard of the sandbox: both must be green",
            {"0": ("no", GREY), "1": ("yes", GREEN)},
            panels.query(
                f"max by (domain) (golive_heimdall_prod_use_enabled{{{_JOB}}})", "{{domain}}: policy"
            ),
            panels.query(
                f"max by (domain) (golive_heimdall_scorecard_ok{{{_JOB}}})", "{{domain}}: scorecard", ref="B"
            ),
        )
    )
    board.with_panel(
        panels.graph(
            "Sandbox trials and their success",
            "Trials in the days of the scorecard, and the share of them that succeeded, on the right",
            "short",
            panels.query(f"max by (domain) (golive_heimdall_sandbox_trials{{{_JOB}}})", "{{domain}} trials"),
            panels.query(
                f"max by (domain) (golive_heimdall_sandbox_success_ratio{{{_JOB}}})",
                "{{domain}} success",
                ref="B",
            ),
        )
        .min(0)
        .override_by_query("B", [panels.unit("percentunit"), panels.axis_right()])
    )
