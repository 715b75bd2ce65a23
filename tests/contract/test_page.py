"""The control-plane page over real HTTP: who sees what, who may do what, and the figures of the API."""

import html
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from golive import go_live, governance, regression, sessions, tokens
from golive.api import create_app, page
from golive.api.page.rendering import percent
from golive.models import RegressionPolicy
from golive.settings import ServiceSettings
from tests.support import scene
from tests.support.proxy import Mode, proxied
from tests.support.service import audited, bearer, serving, serving_app, upgraded, wait_until

ACTS = (
    "/go-live/enable",
    "/go-live/disable",
    "/kill-switch/engage",
    "/kill-switch/release",
    "/tripwire/policy",
    "/tripwire/rearm",
    "/tripwire/backtest",
)
PARTS = (
    "/",
    "/correlation",
    "/correlation?id=deal_1",
    "/audit",
    "/tripwire?domain=WHOLESALE&metric=contract_rate",
)
WIRE: dict[str, Any] = {"domain": "WHOLESALE", "metric": "contract_rate"}
POLICY = {
    "mode": "confirmed", "window_events": "40", "baseline_events": "200", "min_events_to_enforce": "50",
    "max_drop_percent": "15", "false_trips": "0.01", "action": "NOTIFY", "throttle_ladder": "0.5, 0",
    "blind_after_s": "", "enabled": "yes",
}  # fmt: skip


@pytest.fixture
def store(sqlite_store: str) -> str:
    """One database: what the page reads and does is held on both by the tests of those functions."""
    return sqlite_store


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a store with a story in it."""
    file = tmp_path_factory.mktemp("story") / "golive.db"
    scene.tell(upgraded(f"sqlite:///{file}"), days=6)
    return str(file)


@pytest.fixture
def told(production: str, story: str) -> str:
    """A store with the story in it, of the test's own."""
    with closing(sqlite3.connect(story)) as source, closing(sqlite3.connect(production[10:])) as target:
        source.backup(target)
    return production


@pytest.fixture
def client(production: str) -> Iterator[httpx.Client]:
    with serving(production) as made:
        yield made


def sign_in(client: httpx.Client, url: str, *scopes: str, name: str = "visitor") -> str:
    """Sign a client in with a new token, and return its secret."""
    secret = tokens.create(url, name=name, scopes=scopes, actor="test")
    answer = client.post("/sign-in", data={"token": secret})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return secret


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/correlation").text)
    assert found is not None
    return found[1]


def text_of(answer: httpx.Response) -> str:
    """Return what a person reads."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.text)))


def test_a_visitor_who_is_signed_out_is_sent_to_sign_in_and_then_on(
    client: httpx.Client, production: str
) -> None:
    for path in PARTS:
        answer = client.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next=/"), path
    secret = tokens.create(production, name="ops", scopes=["read"], actor="test")
    form = client.get(client.get("/audit?actor=x").headers["location"])
    following = re.search(r'name="next" value="([^"]+)"', form.text)
    assert following is not None
    answer = client.post("/sign-in", data={"token": secret, "next": html.unescape(following[1])})
    assert answer.headers["location"] == "/audit?actor=x"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/sign-out"]
)
def test_after_signing_in_nobody_is_sent_elsewhere(
    client: httpx.Client, production: str, elsewhere: str
) -> None:
    secret = tokens.create(production, name="ops", scopes=["read"], actor="test")
    answer = client.post("/sign-in", data={"token": secret, "next": elsewhere})
    assert answer.headers["location"] == "/"


def test_signed_out_visitors_see_what_the_operator_allows_and_no_more(told: str) -> None:
    with serving(told, anonymous=frozenset({"runbook"})) as client:
        answer = client.get("/")
        assert answer.status_code == 200
        assert "Go: 1 warning: tripwires_clear" in text_of(answer)
        assert "contract_rate" in answer.text  # the runbook's own warning names it
        for hidden in ("Rates", "Audit", "token:oncall", "Risk used", "<form"):
            assert hidden not in answer.text
        assert client.get("/audit").status_code == 303
    with serving(told, anonymous=frozenset({"read", "runbook"})) as client:
        for path in PARTS:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert 'method="post"' not in answer.text


def test_the_cookie_is_no_token_and_a_token_is_no_cookie(client: httpx.Client, production: str) -> None:
    secret = tokens.create(production, name="ops", scopes=["read", "operate"], actor="test")
    answer = client.post("/sign-in", data={"token": secret})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert secret not in cookie
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age="):
        assert attribute in cookie
    session = client.cookies["golive_session"]
    assert client.get("/").status_code == 200
    assert client.get("/api/governance/go-live/state", headers=bearer(session)).status_code == 401
    with governance.reading(production) as connection:
        assert session not in str(connection.exec_driver_sql("SELECT * FROM page_session").all())
    client.cookies.set("golive_session", secret)
    assert client.get("/").status_code == 303


def test_behind_tls_the_cookie_is_secure_and_bound_to_the_host(client: httpx.Client, production: str) -> None:
    secret = tokens.create(production, name="ops", scopes=["read"], actor="test")
    answer = client.post("/sign-in", data={"token": secret}, headers={"X-Forwarded-Proto": "https"})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-golive_session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


def test_wrong_tokens_are_refused_slowed_down_and_never_shown(client: httpx.Client) -> None:
    answers = [client.post("/sign-in", data={"token": f"golive_wrong_{n}"}) for n in range(32)]
    assert {answer.status_code for answer in answers[:30]} == {401}
    assert answers[-1].status_code == 429
    assert "golive_wrong" not in answers[0].text
    assert "set-cookie" not in answers[0].headers


def test_a_token_that_may_only_record_events_signs_nobody_in(client: httpx.Client, production: str) -> None:
    secret = tokens.create(production, name="app", scopes=["ingest"], actor="test")
    answer = client.post("/sign-in", data={"token": secret})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_session_ends_with_its_token(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", name="leaver")
    assert client.get("/audit").status_code == 200
    tokens.revoke(production, "leaver", actor="test", reason="left")
    wait_until(lambda: client.get("/audit").status_code == 303, 2)
    assert "golive_session" not in client.cookies


def test_a_session_is_over_when_its_time_is(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read")
    with governance.engine_for(production).begin() as connection:
        connection.exec_driver_sql("UPDATE page_session SET expires_at = '2020-01-01 00:00:00'")
    wait_until(lambda: client.get("/audit").status_code == 303, 2)


def test_signing_out_ends_the_session_itself(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read")
    kept = client.cookies["golive_session"]
    answer = client.post("/sign-out", data={"csrf": csrf_of(client)})
    assert answer.headers["location"] == "/sign-in"
    client.cookies.set("golive_session", kept)
    assert client.get("/audit").status_code == 303
    with governance.reading(production) as connection:
        assert sessions.find(connection, kept) is None


def test_no_act_without_a_session_its_scope_and_its_own_form(client: httpx.Client, production: str) -> None:
    posting = {route.path for route in page.routes() if "POST" in (route.methods or ())}
    assert {re.sub(r"\{.*\}", "x", path) for path in posting} == {
        "/go-live/x", "/kill-switch/x", "/tripwire/policy", "/tripwire/rearm", "/tripwire/backtest", "/sign-in",
        "/sign-out",
    }  # fmt: skip
    given = {"reason": "because", "version": "1", **WIRE, **POLICY}
    before = audited(production)
    for path in ACTS:
        assert client.post(path, data=given).status_code == 401, path
    sign_in(client, production, "read", name="reader")
    reading = csrf_of(client)
    for path in ACTS:
        assert client.post(path, data=given | {"csrf": reading}).status_code == 403, path
        assert 'method="post" action="/kill' not in client.get("/").text
    client.cookies.clear()
    sign_in(client, production, "read", "operate", name="ops")
    mine = csrf_of(client)
    for path in ACTS:
        for wrong in ({}, {"csrf": ""}, {"csrf": reading}):
            assert client.post(path, data=given | wrong).status_code == 403, path
        for foreign in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = client.post(path, data=given | {"csrf": mine}, headers=foreign)
            assert answer.status_code == 403, (path, foreign)
        assert client.post(path, json=given | {"csrf": mine}).status_code == 415, path
        assert client.get(path).status_code == 303, path  # and does nothing
    made = audited(production)[len(before) :]
    assert {row["action"] for row in made} == {"token.create"}


def test_signing_in_for_somebody_from_another_site_is_refused(client: httpx.Client, production: str) -> None:
    secret = tokens.create(production, name="ops", scopes=["read"], actor="test")
    answer = client.post("/sign-in", data={"token": secret}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_every_answer_has_the_strict_headers(client: httpx.Client, production: str) -> None:
    for path in (*PARTS, "/sign-in", "/tripwire"):
        check_headers(client.get(path))
    sign_in(client, production, "read", "operate")
    for path in (*PARTS, "/sign-in", "/tripwire", "/?since=never"):
        answer = client.get(path)
        check_headers(answer)
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son[a-z]+=|javascript:", answer.text)
    for path in ACTS:
        check_headers(client.post(path))


def check_headers(answer: httpx.Response) -> None:
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_a_range_that_is_none_is_said_to_be_none(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read")
    for query in ("since=never", "since=2026-01-02&until=2026-01-01", "since=2026-01-01T00:00&until=x"):
        answer = client.get(f"/?{query}")
        assert answer.status_code == 422, query
        assert "The request is not valid" in answer.text
    shown = client.get("/?range=eternity&domain=%00&done=%3Cb%3E")
    assert shown.status_code == 200
    assert ">24 hours</a>" in shown.text


def test_what_the_page_needs_comes_from_itself_and_is_kept_under_its_hash(client: httpx.Client) -> None:
    text = client.get("/sign-in").text
    needed = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    assert len(needed) == 3
    assert not re.search(r'(?:href|src)="(?:https?:)?//', text)
    for path in needed:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert client.get(path.split("?")[0]).headers["cache-control"] == "no-cache"
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/other.css").status_code == 404


def test_the_kill_switch_is_engaged_and_released_with_a_reason(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", "operate", name="alice")
    csrf = csrf_of(client)
    assert client.post("/kill-switch/engage", data={"csrf": csrf, "reason": " "}).status_code == 422
    answer = client.post("/kill-switch/engage", data={"csrf": csrf, "reason": "offers doubled"})
    assert answer.headers["location"] == "/?done=kill-switch-engage"
    shown = text_of(client.get(answer.headers["location"]))
    assert "No-go: 1 blocker: kill_switch_clear" in shown
    assert "by token:alice: offers doubled" in shown
    state = go_live.read(production)
    assert state.kill_switch_engaged
    assert state.changed_by == "token:alice"
    stale = client.post("/kill-switch/release", data={"csrf": csrf, "reason": "mended", "version": "1"})
    assert stale.status_code == 412
    assert f"has version {state.version}, not 1" in stale.text
    assert "Nothing was changed" in stale.text
    given = {"csrf": csrf, "reason": "mended", "version": str(state.version)}
    answer = client.post("/kill-switch/release", data=given)
    assert "Go: every check passes" in text_of(client.get(answer.headers["location"]))
    assert "The kill switch was released" in client.get(answer.headers["location"]).text
    # A link or an old page may ask for it; it is said only while it is so.
    assert "The kill switch was engaged" not in client.get("/?done=kill-switch-engage").text
    assert [row["action"] for row in audited(production)][-2:] == [
        "kill_switch.engage",
        "kill_switch.release",
    ]


def test_go_live_is_refused_with_the_blockers_and_enabled_without(
    client: httpx.Client, production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(client, production, "read", "operate")
    given = {"csrf": csrf_of(client), "reason": "week 1", "version": "1"}
    monkeypatch.setenv("GO_LIVE_ENFORCE", "0")
    monkeypatch.setenv("ENV", "staging")
    refused = client.post("/go-live/enable", data=given)
    assert refused.status_code == 409
    assert "env_sanity" in refused.text
    assert "To do" in refused.text
    monkeypatch.setenv("GO_LIVE_ENFORCE", "1")
    monkeypatch.setenv("ENV", "production")
    assert client.post("/go-live/enable", data=given).status_code == 303
    assert go_live.read(production).allows_production
    assert client.post("/go-live/disable", data=given | {"version": "2"}).status_code == 303
    assert not go_live.read(production).go_live_enabled


def test_a_policy_is_edited_as_it_was_seen(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", "operate", name="alice")
    given = {"csrf": csrf_of(client), "reason": "week 2", "version": "1", **WIRE, **POLICY}
    answer = client.post("/tripwire/policy", data=given)
    assert answer.headers["location"] == "/tripwire?domain=WHOLESALE&metric=contract_rate&done=policy"
    stored = policy(production)
    assert (stored.mode, stored.window_events, stored.max_drop_fraction) == ("confirmed", 40, 0.15)
    assert (stored.action, stored.throttle_ladder, stored.enabled, stored.shadow) == (
        "NOTIFY",
        [0.5, 0.0],
        True,
        False,
    )
    assert (stored.changed_by, stored.reason, stored.version) == ("token:alice", "week 2", 2)
    shown = client.get(answer.headers["location"])
    assert "The policy was saved." in shown.text
    assert "token:alice" in shown.text


def test_every_tripwire_is_shown_whatever_its_verdict(client: httpx.Client, told: str) -> None:
    sign_in(client, told, "read")
    with governance.reading(told) as connection:
        known = {each[:2]: each.verdict for each in regression.states(connection)}
    assert {"ok", "triggered"} <= {verdict or "" for verdict in known.values()}
    for domain, metric in known:
        answer = client.get("/tripwire", params={"domain": domain, "metric": metric})
        assert answer.status_code == 200
        assert "The whole finding" in answer.text


def test_a_stale_edit_shows_both_and_saves_neither(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", "operate")
    regression.upsert_policy(
        production, **WIRE, window_events=60, action="KILL_SWITCH", actor="token:bob", reason="stricter"
    )
    given = {"csrf": csrf_of(client), "reason": "mine", "version": "1", **WIRE, **POLICY}
    answer = client.post("/tripwire/policy", data=given)
    assert answer.status_code == 412
    shown = text_of(answer)
    assert "You saw version 1; it is version 2 now" in shown
    assert "by token:bob: stricter" in shown
    rows = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>(.*?)</td></tr>', answer.text))
    assert re.sub(r"<[^>]+>", " ", rows["Window, events"]).split() == ["40", "60"]
    assert re.sub(r"<[^>]+>", " ", rows["Action"]).split() == ["NOTIFY", "KILL_SWITCH"]
    assert policy(production).window_events == 60
    assert 'name="version" value="2"' in answer.text  # saved again, it is over what was shown
    assert client.post("/tripwire/policy", data=given | {"version": "2"}).status_code == 303
    assert policy(production).window_events == 40


def test_what_cannot_be_is_refused_and_what_was_typed_is_kept(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", "operate")
    csrf = csrf_of(client)
    for field, typed in (
        ("window_events", "many"),
        ("window_events", "3"),
        ("max_drop_percent", "-1"),
        ("max_drop_percent", "nan"),
        ("throttle_ladder", "0, 0.5"),
        ("throttle_ladder", "half"),
        ("action", "EXPLODE"),
        ("mode", ""),
        ("reason", ""),
    ):
        given = {"csrf": csrf, "reason": "mine", "version": "1", **WIRE, **POLICY} | {field: typed}
        answer = client.post("/tripwire/policy", data=given)
        assert answer.status_code == 422, (field, typed)
        assert 'role="alert"' in answer.text
        window = typed if field == "window_events" else "40"
        assert f'name="window_events" type="number" value="{window}"' in answer.text
    assert policy(production).version == 1


def test_a_new_stream_is_watched_from_its_page(client: httpx.Client, production: str) -> None:
    sign_in(client, production, "read", "operate")
    stream = {"domain": "NEW & <b>", "metric": "a/b?c"}
    assert "Watch this stream" in client.get("/tripwire", params=stream).text
    given = {"csrf": csrf_of(client), "reason": "new", "version": "0", **stream, **POLICY}
    answer = client.post("/tripwire/policy", data=given)
    assert answer.status_code == 303
    shown = client.get(answer.headers["location"])
    assert "NEW &amp; &lt;b&gt;" in shown.text
    assert "<b>" not in shown.text
    assert "a/b?c" in client.get("/").text


def test_a_tripped_wire_is_re_armed_with_a_reason_and_as_it_was_seen(client: httpx.Client, told: str) -> None:
    sign_in(client, told, "read", "operate", name="alice")
    path = "/tripwire?domain=WHOLESALE&metric=contract_rate"
    before = client.get(path)
    assert "Why it tripped" in before.text
    version = str(state(told).version)
    given = {"csrf": csrf_of(client), **WIRE, "reason": "the price feed is mended", "restore_throttle": "yes"}
    assert client.post("/tripwire/rearm", data=given | {"version": "0"}).status_code == 412
    assert client.post("/tripwire/rearm", data=given | {"version": version, "reason": ""}).status_code == 422
    answer = client.post("/tripwire/rearm", data=given | {"version": version})
    assert answer.headers["location"] == f"{path}&done=rearm"
    assert not state(told).triggered
    assert audited(told)[-1]["reason"] == "the price feed is mended"
    assert "the price feed is mended" in client.get(path).text
    again = client.post("/tripwire/rearm", data=given | {"version": version})
    assert again.status_code == 409


def test_a_backtest_on_the_page_finds_what_the_api_finds(client: httpx.Client, told: str) -> None:
    secret = sign_in(client, told, "read", "operate")
    before = audited(told)
    given = {"csrf": csrf_of(client), **WIRE, **POLICY, "max_drop_percent": "30"}
    answer = client.post("/tripwire/backtest", data=given)
    assert answer.status_code == 200
    found = re.findall(
        r'<tr><th scope="row">([^<]+)</th><td>(\w+)</td>.*?<td class="n">([\d,]+)</td>',
        answer.text,
        re.DOTALL,
    )
    body: dict[str, Any] = WIRE | {
        "candidates": [
            {"name": "what was typed", "mode": "confirmed", "window_events": 40, "max_drop_fraction": 0.3},
            {"name": "threshold", "mode": "threshold"},
            {"name": "confirmed", "mode": "confirmed"},
        ]
    }
    asked = client.post("/api/governance/regression/backtest", json=body, headers=bearer(secret)).json()
    expected = {(each["rule"], each["mode"]): each["trips_count"] for each in asked["backtests"]}
    shown = {(rule, mode): int(trips.replace(",", "")) for rule, mode, trips in found}
    assert shown.pop(("the stored policy", "threshold")) >= 1
    assert shown == expected
    assert audited(told) == before


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


def test_the_address_of_a_form_leads_back_to_the_overview(client: httpx.Client, production: str) -> None:
    for path in (*ACTS, "/sign-out"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


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


@pytest.mark.parametrize(("mode", "engaged"), [("lose commit", False), ("lose answer", True)])
def test_an_act_whose_commit_is_not_answered_is_said_to_be_in_doubt(
    postgres_url: str, mode: Mode, engaged: bool
) -> None:
    upgraded(postgres_url)
    with proxied(postgres_url) as (proxy, url), serving(url) as client:
        sign_in(client, url, "read", "operate")
        csrf = csrf_of(client)
        proxy.mode = mode
        act = client.post("/kill-switch/engage", data={"csrf": csrf, "reason": "x"})
        assert act.status_code == 503
        assert "Whether it was done is not known" in text_of(act)
        assert "Nothing was changed" not in text_of(act)
        wait_until(lambda: go_live.read(postgres_url).kill_switch_engaged is engaged)
        governance.engine_for(url, lane="switch").dispose()


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


def policy(url: str) -> regression.RegressionPolicyView:
    with governance.reading(url) as connection:
        return next(each for each in regression.policies(connection) if each[:2] == tuple(WIRE.values()))


def state(url: str) -> regression.RegressionStateView:
    with governance.reading(url) as connection:
        return next(each for each in regression.states(connection) if each[:2] == tuple(WIRE.values()))
