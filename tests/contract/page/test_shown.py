"""The control-plane page over real HTTP: what it shows, and that its figures are those of the API."""

import html
import re
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from golive import go_live, governance, regression, tokens
from golive.api import create_app
from golive.api.page.rendering import percent
from golive.models import RegressionPolicy
from golive.settings import ServiceSettings
from tests.support import scene
from tests.support.proxy import proxied
from tests.support.service import bearer, serving, serving_app, upgraded
from tests.support.visitors import csrf_of, sign_in, text_of

WIRE: dict[str, Any] = {"domain": "WHOLESALE", "metric": "contract_rate"}


def test_a_range_that_is_none_is_said_to_be_none(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read")
    for query in ("since=never", "since=2026-01-02&until=2026-01-01", "since=2026-01-01T00:00&until=x"):
        answer = client.get(f"/?{query}")
        assert answer.status_code == 422, query
        assert "The request is not valid" in answer.text
    shown = client.get("/?range=eternity&domain=%00&done=%3Cb%3E")
    assert shown.status_code == 200
    assert ">24 hours</a>" in shown.text


def test_every_tripwire_is_shown_whatever_its_verdict(client: httpx.Client, told: str) -> None:
    sign_in(client, told, "read")
    with governance.reading(told) as connection:
        known = {each[:2]: each.verdict for each in regression.states(connection)}
    assert {"ok", "triggered"} <= {verdict or "" for verdict in known.values()}
    for domain, metric in known:
        answer = client.get("/tripwire", params={"domain": domain, "metric": metric})
        assert answer.status_code == 200
        assert "The whole finding" in answer.text


def test_the_figures_are_those_of_the_api(client: httpx.Client, told: str) -> None:
    secret = sign_in(client, told, "read")
    answer = client.get("/?range=7d")
    since, until = re.findall(r'From <time datetime="([^"]+)">.*? to <time datetime="([^"]+)">', answer.text)[
        0
    ]
    asked = client.get(
        "/api/kpi/summary", params={"since": since, "until": until}, headers=bearer(secret)
    ).json()
    shown = text_of(answer)
    assert len(asked["metrics"]) == 11
    for metric in asked["metrics"]:
        rate = metric["success_rate"]
        figure = f"{percent(rate)} succeeded" if rate is not None else f"{metric['value_mean']:,.4g} mean"
        events = f"{metric['events']:,} event"
        assert re.search(
            re.escape(f"{metric['domain']}/{metric['metric']}")
            + rf"\s+{re.escape(figure)}\s+{re.escape(events)}",
            shown,
        ), metric
    for book in client.get("/api/governance/risk/ledger/today", headers=bearer(secret)).json()["ledgers"]:
        used, limit = float(book["exposure_used"]), book["limits"]["max_daily_exposure"]
        assert f"{used:,.2f}of {float(limit):,.2f}" in shown, book
    for wire in client.get("/api/governance/regression/state", headers=bearer(secret)).json()["states"]:
        assert f"{wire['domain']}/{wire['metric']}" in shown
        assert wire["drop_fraction"] is None or f"{wire['drop_fraction']:.1%}" in shown


def test_a_correlation_id_is_a_waterfall_with_links_to_its_traces(told: str) -> None:
    with serving(told, trace_url="https://tempo.example/trace/{trace_id}?org=1") as client:
        secret = sign_in(client, told, "read")
        asked = client.get(f"/api/kpi/correlations/{scene.DEAL}", headers=bearer(secret)).json()["events"]
        answer = client.get("/correlation", params={"id": scene.DEAL})
        shown = text_of(answer)
        assert f"{len(asked)} events in" in shown
        for event in asked:
            assert f"{event['domain']}/{event['metric']}" in shown
            assert f'href="https://tempo.example/trace/{event["trace_id"]}?org=1"' in answer.text
        assert "TimeoutError" in shown
        assert "Nothing happened under" in client.get("/correlation?id=nobody").text
    with serving(told) as client:
        sign_in(client, told, "read", name="other")
        assert "tempo" not in client.get("/correlation", params={"id": scene.DEAL}).text


def test_a_correlation_id_of_very_many_events_is_cut_and_says_so(
    client: httpx.Client, production: str
) -> None:
    scene.burst(production, "many", 600)
    sign_in(client, production, "read")
    answer = client.get("/correlation?id=many")
    assert "500 events, the first of more" in text_of(answer)
    assert answer.text.count("<tr>") == 501


def test_the_audit_trail_is_filtered_and_paged(client: httpx.Client, production: str) -> None:
    for number in range(60):
        go_live.disable(production, actor=f"token:{'ab'[number % 2]}", reason=f"act {number}")
    sign_in(client, production, "read")
    first = client.get("/audit")
    assert first.text.count('<th scope="row"') == 50
    older = re.search(r'href="(/audit\?before=\d+)"', first.text)
    assert older is not None
    assert re.findall(r"act (\d+)<", client.get(older[1]).text)[-1] == "0"
    some = client.get("/audit?actor=token:a&action=go_live&outcome=done")
    assert re.findall(r"act (\d+)<", some.text) == [str(number) for number in range(58, -1, -2)]
    assert "No act fits the filter" in client.get("/audit?outcome=refused").text
    assert "No act fits the filter" in client.get("/audit?action=go_liv").text
    assert client.get("/audit?since=yesterday").status_code == 422
    assert client.get("/audit?actor=%00").status_code == 422


def test_a_share_that_is_not_all_is_not_rounded_to_all() -> None:
    shares = {1.0: "100.0%", 0.9996: "99.96%", 0.999: "99.9%", 0.99999: "99.999%", 0.0: "0.0%"}
    assert {share: percent(share) for share in shares} == shares


def test_very_many_tripwires_are_cut_and_those_that_need_a_look_come_first(
    client: httpx.Client, told: str
) -> None:
    with governance.engine_for(told).begin() as connection:
        known = dict(connection.execute(select(RegressionPolicy.__table__)).mappings().first() or {})
        del known["id"]
        more = [known | {"domain": "A", "metric": f"m{number}"} for number in range(200)]
        connection.execute(insert(RegressionPolicy), more)
    sign_in(client, told, "read")
    shown = client.get("/").text.split('id="tripwires"')[1].split("</section>")[0]
    assert shown.count('<th scope="row"') == 60
    assert re.findall(r"metric=(\w+)", shown)[:2] == ["contract_rate", "match_success"]
    assert "144 tripwires more" in shown


def test_a_broken_chain_is_shown_as_such(client: httpx.Client, production: str) -> None:
    go_live.disable(production, actor="a", reason="first")
    go_live.disable(production, actor="a", reason="second")
    sign_in(client, production, "read")
    assert "intact" in client.get("/audit").text
    with governance.engine_for(production).begin() as connection:
        connection.exec_driver_sql("UPDATE governance_audit SET reason = 'another' WHERE id = 1")
    shown = text_of(client.get("/audit"))
    assert "broken at row 1" in shown
    assert "it was altered" in shown


def test_hostile_text_stays_text_wherever_it_came_in(client: httpx.Client, production: str) -> None:
    given = scene.hostile(production)
    sign_in(client, production, "read", "operate")
    stream = {"domain": given["domain"], "metric": given["metric"]}
    for path, params in (
        ("/", {}),
        ("/correlation", {"id": given["correlation_id"]}),
        ("/audit", {}),
        ("/audit", {"actor": scene.HOSTILE[:128], "target": scene.HOSTILE[:128]}),
        ("/tripwire", stream),
    ):
        answer = client.get(path, params=params)
        assert answer.status_code == 200, (path, answer.text)
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", answer.text)  # what is sent back is as it was
    assert "\\u202e" in client.get("/").text


def test_on_an_empty_store_every_part_says_what_to_do_next(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read")
    overview = client.get("/").text
    assert "No KPI event yet" in overview
    assert "None is enabled" in overview
    assert "Not evaluated yet" in client.get("/tripwire", params=WIRE).text


def test_old_events_are_offered_where_the_range_has_none(client: httpx.Client, production: str) -> None:
    scene.tell(production, days=2, now=scene.long_ago())
    sign_in(client, production, "read")
    answer = client.get("/")
    found = re.search(r'href="(/\?since=[^"]+)"', answer.text)
    assert found is not None
    assert "contract_rate" in client.get(html.unescape(found[1])).text.split('id="rates"')[1]


@pytest.mark.faults
def test_while_the_store_is_away_the_page_says_so_and_says_no(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgraded(postgres_url)
    monkeypatch.setenv("GOLIVE_DATABASE_DEADLINE_SECONDS", "0.5")
    with proxied(postgres_url) as (proxy, url), serving(url) as client:
        sign_in(client, url, "read", "operate")
        assert client.get("/").status_code == 200
        csrf = csrf_of(client)
        proxy.mode = "hang"
        time.sleep(1.1)
        answer = client.get("/")
        assert answer.status_code == 200
        assert "No-go" in text_of(answer)
        assert answer.text.count("could not be read") >= 4
        act = client.post("/kill-switch/engage", data={"csrf": csrf, "reason": "x"})
        assert act.status_code == 503
        assert "Nothing was changed" in text_of(act)
        proxy.mode = "pass"
        governance.engine_for(url).dispose()


def test_it_works_below_a_path_of_another_application(production: str) -> None:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/gate", create_app(production, ServiceSettings()))
    with serving_app(app) as client:
        answer = client.get("/gate/")
        assert answer.headers["location"].startswith("/gate/sign-in?next=")
        secret = tokens.create(production, name="ops", scopes=["read"], actor="test")
        answer = client.post("/gate/sign-in", data={"token": secret})
        assert answer.headers["location"] == "/gate/"
        shown = client.get("/gate/").text
        assert not re.findall(r'(?:href|src|action)="/(?!gate/)', shown)
