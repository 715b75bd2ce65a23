"""`golive backtest` and its route: the past replayed, as a table, a chart, JSON and a drawing."""

import datetime as dt
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from golive import governance, regression
from golive.models.base import utc_now
from tests.support.cli import golive
from tests.support.service import audited, serving, token
from tests.support.wires import CAPITAL, WHOLESALE, at_rate, fill

Shell = dict[str, str]


@pytest.fixture
def shell(store: str, environment: Shell) -> Shell:
    return environment | {"DATABASE_URL": store}


def run(shell: Shell, cwd: Path, *arguments: str | Path, code: int = 0) -> str:
    done = golive("backtest", *arguments, cwd=cwd, environment=shell, check=code)
    return done.stdout + done.stderr


def test_a_change_in_the_store_is_found_and_nothing_is_written(
    store: str, shell: Shell, tmp_path: Path
) -> None:
    start = utc_now() - dt.timedelta(hours=2)
    change = start + dt.timedelta(seconds=1000)
    fill(store, WHOLESALE, at_rate(0.9, 1000) + at_rate(0.3, 200), start=start)
    text = run(shell, tmp_path, *WHOLESALE, "--change", change.isoformat(), "--plot", "drop.svg")
    assert "the stored policy" in text
    assert "the change" in text
    assert "judged after every event" in text
    [found] = json.loads(run(shell, tmp_path, *WHOLESALE, "--change", change.isoformat(), "--format", "json"))
    by_rule = {each["rule"]: each for each in found["backtests"]}
    assert list(by_rule) == ["the stored policy", "threshold", "confirmed"]
    confirmed = by_rule["confirmed"]
    assert (confirmed["quiet_events"], confirmed["quiet_trips"]) == (1000, 0)
    assert confirmed["events_to_trip"] <= 20
    assert confirmed["trips"][0]["finding"]["failing"]
    drawing = ElementTree.fromstring((tmp_path / "drop.svg").read_text())
    assert drawing.tag.endswith("svg")
    assert len(drawing.findall(".//{*}polyline")) == 1
    with governance.reading(store) as connection:
        assert regression.states(connection) == []
    assert audited(store) == []


def test_times_may_be_said_as_how_long_ago(store: str, shell: Shell, tmp_path: Path) -> None:
    fill(store, WHOLESALE, [True] * 300, start=utc_now() - dt.timedelta(days=9))
    fill(store, WHOLESALE, [True] * 200, start=utc_now() - dt.timedelta(days=2))
    ago = ("--since", "7d", "--until", "1h", "--change", "3d")
    [found] = json.loads(run(shell, tmp_path, *WHOLESALE, *ago, "--format", "json"))
    assert {(each["events"], each["quiet_events"]) for each in found["backtests"]} == {(200, 0)}


def test_every_stream_with_a_policy_is_replayed_where_none_is_named(
    store: str, shell: Shell, tmp_path: Path
) -> None:
    fill(store, WHOLESALE, [True] * 300)
    fill(store, CAPITAL, [500.0] * 300)
    fill(store, ("NO", "policy"), [True] * 300)
    found = json.loads(run(shell, tmp_path, "--format", "json", "--rule", "mode=threshold,window_events=20"))
    assert [(each["domain"], each["metric"]) for each in found] == [CAPITAL, WHOLESALE]
    assert [each["backtests"][0]["kind"] for each in found] == ["value", "rate"]


def test_a_log_is_replayed_without_a_store(environment: Shell, tmp_path: Path) -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    flags = [*at_rate(0.9, 400), *([False] * 60)]
    lines = ["domain,metric,success,occurred_at"]
    for minute, ok in enumerate(flags):
        lines.append(f"DESK,sold,{str(ok).lower()},{(start + dt.timedelta(minutes=minute)).isoformat()}")
    (tmp_path / "log.csv").write_text("\n".join([*lines, "DESK,few,true,2026-01-01T00:00:00Z"]))
    shell = environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    [found] = json.loads(run(shell, tmp_path, "--file", "log.csv", "--format", "json"))
    assert (found["metric"], found["backtests"][0]["events"]) == ("sold", 460)
    assert found["backtests"][0]["trips"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("WHOLESALE",), "DOMAIN and METRIC"),
        (("--rule", "window=3"), "--rule"),
        (("--rule", "mode=guess"), "mode"),
        (("--rule", "window_events=many"), "a number"),
        (("--change", "yesterday"), "--change"),
        (("--plot", "chart.png"), ".svg"),
        (("--file", "none.csv"), "none.csv"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    sqlite_url: str, environment: Shell, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    shell = environment | {"DATABASE_URL": sqlite_url}
    text = run(shell, tmp_path, *arguments, code=2)
    assert complaint in text
    assert len(text.strip().splitlines()) == 1


def test_the_route_replays_candidates_and_the_stored_policy(store: str) -> None:
    fill(store, WHOLESALE, at_rate(0.9, 1000) + [False] * 50)
    body = {"domain": "WHOLESALE", "metric": "contract_rate"}
    with serving(store, evaluate_interval_s=0) as client:
        client.headers.update(token(store, "operate"))
        default = client.post("/api/governance/regression/backtest", json=body).json()["backtests"]
        assert [each["rule"] for each in default] == ["the stored policy", "threshold", "confirmed"]
        assert all(each["trips_count"] >= 1 for each in default)
        candidates = [{"name": "bolder", "max_drop_fraction": 0.1}, {"mode": "threshold"}]
        own = client.post("/api/governance/regression/backtest", json=body | {"candidates": candidates})
        assert [each["rule"] for each in own.json()["backtests"]] == ["bolder", "rule 2"]
        bad = body | {"candidates": [{"window_events": 2}]}
        assert client.post("/api/governance/regression/backtest", json=bad).status_code == 422
