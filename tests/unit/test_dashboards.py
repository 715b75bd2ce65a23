"""The dashboards: what is committed is what their modules make, and it is whole."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support import grafana_schema
from tests.support.prometheus import installed

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(file.read_text()) for file in FILES]

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return its panels, without the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def test_the_committed_dashboards_are_what_their_modules_make() -> None:
    run = [sys.executable, "-W", "ignore", "-m", "dashboards", "--check"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(FILES) == 4


@each_board
def test_each_agrees_with_the_schema_of_grafana(board: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(grafana_schema.schema())
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(board)] == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("schemaVersion",), "forty-two"),
        (("panels", 1, "datasoruce"), {}),
        (("panels", 1, "type"), "timesereis"),
        (("panels", 1, "options", "legend", "placment"), "bottom"),
        (("panels", 1, "fieldConfig", "defaults", "custom", "fillOpacity"), "8"),
        (("panels", 1, "targets", 0, "exprr"), "up"),
        (("templating", "list", 0, "refresh"), 7),
    ],
)
def test_the_schema_finds_what_is_wrong(path: tuple[str | int, ...], wrong: object) -> None:
    [board] = [json.loads(json.dumps(each)) for each in BOARDS if each["uid"] == "golive-kpi"]
    place = board
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    assert not jsonschema.Draft202012Validator(grafana_schema.schema()).is_valid(board)


def test_no_two_have_the_same_uid_or_title() -> None:
    assert len({board["uid"] for board in BOARDS} | {board["title"] for board in BOARDS}) == 2 * len(BOARDS)


@each_board
def test_no_two_panels_have_the_same_id_or_place(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@each_board
def test_every_panel_has_a_title_a_description_a_unit_and_something_to_show(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"], panel["id"]
        assert panel["description"].strip(), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs, panel["title"]
        assert len(set(refs)) == len(refs), panel["title"]


@each_board
def test_every_variable_is_used_and_every_one_used_is_there(board: dict[str, Any]) -> None:
    named = {variable["name"] for variable in board["templating"]["list"]}
    targets = json.dumps([panel["targets"] for panel in panels(board)])
    used = set(re.findall(r"\$\{?(\w+)", targets)) - {"__rate_interval"}
    assert used == named


@each_board
def test_every_data_source_is_provisioned(board: dict[str, Any]) -> None:
    provisioning = ROOT / "dashboards" / "provisioning" / "datasources" / "golive.yaml"
    provisioned = {
        source["uid"]: source["type"] for source in yaml.safe_load(provisioning.read_text())["datasources"]
    }
    for source in re.findall(r'"datasource": ({[^}]+})', json.dumps(board)):
        found = json.loads(source)
        assert provisioned[found["uid"]] == found["type"]


def test_a_link_leads_from_events_to_spans_and_back() -> None:
    [board] = [each for each in BOARDS if each["uid"] == "golive-correlation"]
    links = {
        panel["title"]: json.dumps(panel["fieldConfig"]["overrides"])
        for panel in panels(board)
        if "links" in json.dumps(panel["fieldConfig"]["overrides"])
    }
    assert links.keys() == {"Events", "Spans", "Events of the trace"}
    assert all("/d/golive-correlation?" in link for link in links.values())
    assert "var-trace_id=${__value.raw:" in links["Events"]
    assert "var-trace_id=${__value.raw:" in links["Spans"]
    assert "var-correlation_id=${__value.raw:" in links["Events of the trace"]


@each_board
def test_what_says_how_it_is_now_asks_for_now_alone(board: dict[str, Any]) -> None:
    for panel in panels(board):
        if panel["type"] in {"stat", "bargauge"}:
            for target in panel["targets"]:
                assert (target.get("instant"), target.get("range", False)) == (True, False), panel["title"]


def test_an_instance_that_counts_anew_shows_no_loss(tmp_path: Path) -> None:
    labels = 'job="golive", instance="{}", domain="D", metric="m"'
    begun_anew, other = labels.format("a"), labels.format("b")
    series = {
        f"golive_kpi_value_sum{{{begun_anew}}}": "0+500x60 0+500x60",
        f"golive_kpi_value_count{{{begun_anew}}}": "0+1x60 0+1x60",
        f"golive_kpi_value_sum{{{other}}}": "0-20x120",
        f"golive_kpi_value_count{{{other}}}": "0+2x120",
    }
    [board] = [each for each in BOARDS if each["uid"] == "golive-kpi"]
    expressions = {panel["title"]: panel["targets"][0]["expr"] for panel in panels(board)}
    samples = [
        {
            "expr": re.sub(r"\$(domain|metric|job)\b", ".*", expressions[title]).replace(
                "$__rate_interval", "5m"
            ),
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": '{domain="D", metric="m"}', "value": value}],
        }
        for title, minute, value in (
            ("Mean value", 63, -10),
            ("Mean value", 110, 160),
            ("Sum of values in an hour", 110, -1200),
        )
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    file = tmp_path / "values.yaml"
    file.write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": inputs, "promql_expr_test": samples}]})
    )
    command = [installed("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_typed_cannot_end_its_place_in_a_query_or_an_address() -> None:
    [board] = [each for each in BOARDS if each["uid"] == "golive-correlation"]
    for panel in panels(board):
        for target in panel["targets"]:
            text = target.get("rawSql", target.get("query"))
            quoted = "sqlstring" if "rawSql" in target else "doublequote"
            if text != "$trace_id":  # all of the query: nothing around it to end
                assert set(re.findall(r"\$\{?(?:\w+)(?::(\w+))?", text)) == {quoted}, text
        for address in re.findall(r'"url": "([^"]+)"', json.dumps(panel)):
            assert re.findall(r"=\$\{[\w.]+(?::(\w+))?\}", address) == ["percentencode"] * 2, address
