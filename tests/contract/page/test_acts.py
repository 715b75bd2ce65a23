"""The control-plane page over real HTTP: who may do what, and what becomes of it."""

import re
from typing import Any

import httpx
import pytest

from golive import go_live, governance, regression, runbook
from golive.api import page
from tests.support.proxy import Mode, proxied
from tests.support.service import audited, bearer, serving, upgraded, wait_until
from tests.support.visitors import ACTS, csrf_of, sign_in, text_of

WIRE: dict[str, Any] = {"domain": "WHOLESALE", "metric": "contract_rate"}
POLICY = {
    "mode": "confirmed", "window_events": "40", "baseline_events": "200", "min_events_to_enforce": "50",
    "max_drop_percent": "15", "false_trips": "0.01", "action": "NOTIFY", "throttle_ladder": "0.5, 0",
    "blind_after_s": "", "enabled": "yes",
}  # fmt: skip


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


def test_a_switch_engaged_while_go_live_is_being_enabled_is_shown_as_the_blocker(
    client: httpx.Client, production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engaged_after_it_was_read(db: object) -> runbook.Runbook:
        found = build_runbook(db)
        go_live.engage_kill_switch(db, actor="other", reason="offers doubled")
        return found

    build_runbook = runbook.build_runbook
    monkeypatch.setattr(runbook, "build_runbook", engaged_after_it_was_read)
    sign_in(client, production, "read", "operate")
    refused = client.post("/go-live/enable", data={"csrf": csrf_of(client), "reason": "week 1"})
    assert refused.status_code == 409
    shown = text_of(refused)
    assert "kill_switch_clear" in shown
    assert "by other: offers doubled" in shown
    assert "To do" in shown
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


def test_the_address_of_a_form_leads_back_to_the_overview(client: httpx.Client, production: str) -> None:
    for path in (*ACTS, "/sign-out"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


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


def policy(url: str) -> regression.RegressionPolicyView:
    with governance.reading(url) as connection:
        return next(each for each in regression.policies(connection) if each[:2] == tuple(WIRE.values()))


def state(url: str) -> regression.RegressionStateView:
    with governance.reading(url) as connection:
        return next(each for each in regression.states(connection) if each[:2] == tuple(WIRE.values()))
