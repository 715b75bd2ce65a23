"""`golive review`: the Monday review, on one screen: may we go live, what broke, what changed."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from golive.commands._common import (
    PATIENCE_S,
    DatabaseUrl,
    console,
    reading,
    shown,
    store_url,
    telling_errors,
)
from golive.commands.evaluating import figure
from golive.commands.runbook import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from golive.audit import Entry
    from golive.go_live import State
    from golive.heimdall import Standing
    from golive.reader import MetricSummary
    from golive.regression import Wire
    from golive.risk import Book


def review(
    days: Annotated[int, typer.Option(help="How many days back.", min=1, max=366)] = 7,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the runbook, the levers, the rates of the last days beside those before, and every act."""
    from golive import audit, go_live, levers, readers
    from golive.models.base import utc_now
    from golive.runbook import build_runbook

    now = utc_now()
    begin = now - dt.timedelta(days=days)
    with telling_errors():
        url = store_url(database_url)
        found = build_runbook(url)
        state = go_live.read(url)
        stand = levers.read(url)
    with reading(database_url) as connection, readers.beside(connection, PATIENCE_S) as events:
        recent = events.summary(begin, now)
        before = events.summary(begin - dt.timedelta(days=days), begin)
        acts = audit.entries(connection, limit=20, since=begin)
    typer.echo(f"{as_text(dict(found))}\n")
    typer.echo(_state(state) + "\n")
    _show_risk(stand.risk)
    _show_charter(stand.charter)
    _show_tripwires(stand.tripwires)
    _show_rates(recent, before, days)
    _show_acts(acts, days)


def _state(state: "State") -> str:
    line = f"Go-live is {'ENABLED' if state.go_live_enabled else 'off'}, "
    line += f"the kill switch {'ENGAGED' if state.kill_switch_engaged else 'released'}"
    return f"{line} (by {shown(state.changed_by)}: {shown(state.reason)})."


def _show_rates(recent: "list[MetricSummary]", before: "list[MetricSummary]", days: int) -> None:
    if not recent:
        typer.echo(f"No KPI event in the last {days} days.\n")
        return
    from rich.table import Table

    earlier = {(metric.domain, metric.metric): metric for metric in before}
    table = Table("domain", "metric", "events", "success", "before", "drop", title=f"The last {days} days")
    for metric in recent:
        was = earlier.get((metric.domain, metric.metric))
        rate, old = metric.success_rate, was.success_rate if was else None
        table.add_row(
            shown(metric.domain), shown(metric.metric), str(metric.events), _percent(rate), _percent(old),
            _percent((old - rate) / old) if old and rate is not None else "",
        )  # fmt: skip
    console().print(table)


def _show_risk(books: "Sequence[Book]") -> None:
    from rich.table import Table

    columns = ("engine", "acts", "loss", "exposure", "open risk", "actions", "denied")
    table = Table(*columns, title="Risk today: used of the cap in force")
    for book in books:
        if book.policy is None:
            continue
        ledger, limits = book.ledger, book.policy.limits()
        table.add_row(
            shown(book.engine),
            f"{book.policy.throttle:.0%}" if book.policy.allows_actions else "no",
            _used(ledger.realized_loss, limits.max_daily_loss),
            _used(ledger.exposure_used, limits.max_daily_exposure),
            _used(ledger.open_risk_reserved, limits.max_open_risk),
            _used(ledger.actions_count, limits.max_actions_per_day),
            str(ledger.denials),
        )
    console().print(table)


def _show_charter(standings: "Sequence[Standing]") -> None:
    from rich.table import Table

    table = Table("domain", "in production", "trials", "success", "lacks", title="Confidence charter")
    for policy, card, unproven in standings:
        table.add_row(
            shown(policy.domain),
            "yes" if policy.prod_use_enabled else "no",
            f"{card.trials} of {policy.min_sandbox_trials}",
            f"{_percent(card.success_rate) or '-'} of {_percent(policy.min_sandbox_success_rate)}",
            unproven.reason if unproven else "",
        )
    console().print(table)


def _show_tripwires(wires: "Sequence[Wire]") -> None:
    from rich.table import Table

    columns = ("domain", "metric", "stands", "before", "now", "drop", "can see", "shadow trips", "checked")
    table = Table(*columns, title="Tripwires")
    for wire in wires:
        state = wire.state
        evidence = state.evidence if isinstance(state.evidence, dict) else {}
        table.add_row(
            shown(state.domain),
            shown(state.metric),
            _stands(wire),
            figure(state.baseline, evidence.get("kind")),
            figure(state.current, evidence.get("kind")),
            _percent(state.drop_fraction),
            _percent(wire.detectable_drop),
            str(state.shadow_trips or ""),
            f"{state.last_checked_at:%Y-%m-%d %H:%M}" if state.last_checked_at else "never",
        )
    console().print(table)


def _stands(wire: "Wire") -> str:
    state = wire.state
    if state.triggered:
        at = state.last_triggered_at
        return "TRIPPED" if at is None else f"TRIPPED at {at:%Y-%m-%d %H:%M}"
    if not wire.enabled:
        return "disabled"
    verdict = state.verdict or "not judged yet"
    return f"{verdict} (shadow)" if wire.policy is not None and wire.policy.shadow else verdict


def _used(used: "Decimal | int", limit: "Decimal | int | None") -> str:
    return f"{used} of {'any' if limit is None else limit}"


def _show_acts(acts: "list[Entry]", days: int) -> None:
    if not acts:
        typer.echo(f"No governance act in the last {days} days.")
        return
    typer.echo(f"\nGovernance acts of the last {days} days, the newest first:")
    for act in acts:
        refused = "" if act.ok else " (refused)"
        when = f"{act.created_at:%Y-%m-%d %H:%M}"
        typer.echo(f"  {when}  {shown(act.actor)}  {shown(act.action)}{refused}  {shown(act.reason or '')}")


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}"
