"""The control-plane page in a real Chromium, over a real `golive serve`."""

import re
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from golive import go_live, governance, regression
from golive.api.page.rendering import percent
from tests.browser.conftest import Visitor
from tests.support import scene
from tests.support.service import wait_until

pytestmark = pytest.mark.browser

WIRE = "/tripwire?domain=WHOLESALE&metric=contract_rate"
PARTS = (
    "/",
    "/correlation",
    f"/correlation?id={scene.DEAL}",
    "/audit",
    WIRE,
    "/tripwire?domain=NEW&metric=m",
)


def stored(url: str) -> regression.RegressionPolicyView:
    with governance.reading(url) as connection:
        found = regression.policies(connection)
    return next(each for each in found if each[:2] == ("WHOLESALE", "contract_rate"))


def test_a_person_signs_in_reads_every_part_and_signs_out(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Go: 1 warning: tripwires_clear")
    expect(page.get_by_role("heading", name="Rates")).to_have_count(0)
    visitor.go("/audit")
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.get_by_label("Token").fill(visitor.site.secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{visitor.site.address}/audit")
    expect(page.get_by_role("heading", name="Audit trail")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    for heading in ("Runbook", "What changed lately", "Tripwires", "Risk used today", "Confidence charter", "Rates",
                    "What was denied lately"):  # fmt: skip
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page.get_by_role("row", name=re.compile("contract_rate")).get_by_role("link").click()
    expect(page.get_by_role("heading", name="Why it tripped")).to_be_visible()
    page.get_by_role("link", name="Correlation").click()
    expect(page.get_by_label("Correlation id")).to_be_focused()
    visitor.check()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.go_back()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    visitor.check()


def test_the_kill_switch_is_engaged_and_released_with_a_reason(visitor: Visitor) -> None:
    page, url = visitor.page, visitor.site.url
    visitor.sign_in()
    page.get_by_text("Engage…").click()
    reason = page.get_by_label("Reason, for the audit trail").locator("visible=true")
    expect(reason).to_be_focused()
    page.get_by_role("button", name="Engage the kill switch").click()
    assert not go_live.read(url).kill_switch_engaged  # a reason is asked for first
    reason.fill("offers go out twice")
    page.get_by_role("button", name="Engage the kill switch").click()
    expect(page.get_by_role("status").first).to_contain_text("The kill switch was engaged")
    expect(page.get_by_role("heading", level=1)).to_contain_text("No-go: 1 blocker: kill_switch_clear")
    state = go_live.read(url)
    assert (state.kill_switch_engaged, state.changed_by, state.reason) == (
        True,
        "token:ops",
        "offers go out twice",
    )
    assert "done=" not in page.url
    page.get_by_text("Release…").click()
    page.get_by_label("Reason, for the audit trail").locator("visible=true").fill("mended")
    page.get_by_role("button", name="Release the kill switch").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Go:")
    assert not go_live.read(url).kill_switch_engaged
    expect(page.locator("#changes")).to_contain_text("offers go out twice")
    visitor.check()


def test_a_sheet_closes_by_escape_and_gives_the_focus_back(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    summary = page.get_by_text("Engage…")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Engage the kill switch")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Engage the kill switch")).to_be_hidden()
    expect(summary).to_be_focused()
    visitor.check()


def test_a_policy_is_edited_and_a_conflict_shows_both(visitor: Visitor) -> None:
    page, url = visitor.page, visitor.site.url
    visitor.sign_in()
    visitor.go(WIRE)
    page.get_by_label("Window, events").fill("60")
    page.get_by_label("Reason", exact=True).fill("a longer window")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("The policy was saved")
    assert stored(url).window_events == 60
    page.get_by_label("Window, events").fill("70")
    regression.upsert_policy(
        url,
        domain="WHOLESALE",
        metric="contract_rate",
        window_events=40,
        actor="token:bob",
        reason="a shorter one",
    )
    page.get_by_label("Reason", exact=True).fill("longer still")
    visitor.errors.clear()
    page.get_by_role("button", name="Save").click()
    conflict = page.locator("#conflict")
    expect(conflict).to_contain_text("token:bob: a shorter one")
    cells = conflict.get_by_role("row", name=re.compile("Window, events")).get_by_role("cell")
    assert cells.all_inner_texts() == ["70", "40"]
    assert stored(url).window_events == 40
    expect(page.get_by_label("Reason", exact=True)).to_have_value("longer still")
    assert axe(page) == []
    page.get_by_role("button", name="Save over it").click()
    expect(page.get_by_role("status").first).to_contain_text("The policy was saved")
    assert stored(url).window_events == 70
    assert [
        error for error in visitor.errors if "412" not in error
    ] == []  # which Chromium notes, as it should


def test_a_backtest_is_made_on_the_page_and_changes_nothing(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    visitor.go(WIRE)
    before = stored(visitor.site.url)
    page.get_by_label("Largest drop, %").fill("30")
    page.get_by_role("button", name="Backtest what is typed").click()
    row = page.locator("#backtest").get_by_role("row", name=re.compile("what was typed"))
    expect(row).to_be_visible()
    body = {"domain": "WHOLESALE", "metric": "contract_rate",
            "candidates": [{"mode": "threshold", "max_drop_fraction": 0.3}]}  # fmt: skip
    path = f"{visitor.site.address}/api/governance/regression/backtest"
    asked = httpx.post(path, json=body, headers=visitor.site.headers, timeout=30).json()["backtests"][0]
    assert row.get_by_role("cell").all_inner_texts()[2] == f"{asked['trips_count']:,}"
    expect(page.get_by_label("Largest drop, %")).to_have_value("30")
    assert stored(visitor.site.url) == before
    assert axe(page) == []
    visitor.check()


def test_a_tripped_wire_is_re_armed_with_a_reason(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    visitor.go(WIRE)
    expect(page.locator("#stands")).to_contain_text("tripped")
    page.get_by_label("Reason: what was mended").fill("the price feed is mended")
    page.get_by_role("button", name="Re-arm").click()
    expect(page.get_by_role("status").first).to_contain_text("re-armed")
    expect(page.locator("#stands")).not_to_contain_text("tripped")
    expect(page.locator("#history")).to_contain_text("the price feed is mended")
    visitor.check()


def test_a_correlation_id_is_searched_and_its_events_lead_to_their_traces(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    visitor.go("/correlation")
    expect(page.get_by_label("Correlation id")).to_be_focused()
    page.keyboard.type(scene.DEAL)
    page.keyboard.press("Enter")
    path = f"{visitor.site.address}/api/kpi/correlations/{scene.DEAL}"
    events = httpx.get(path, headers=visitor.site.headers).json()["events"]
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(events))
    for number, event in enumerate(events):
        expect(rows.nth(number)).to_contain_text(event["outcome"])
        link = rows.nth(number).locator(f'a[href="http://localhost:3200/trace/{event["trace_id"]}"]')
        expect(link).to_have_count(1)
    page.get_by_text("Show").nth(1).click()
    expect(page.get_by_text("TimeoutError")).to_be_visible()
    visitor.check()


def test_the_figures_are_those_of_the_api(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    page.get_by_role("link", name="7 days").click()
    since, until = (page.locator("#rates time").nth(place).get_attribute("datetime") for place in (0, 1))
    metrics = api(visitor, f"/api/kpi/summary?since={quoted(since)}&until={quoted(until)}")["metrics"]
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(len(metrics))
    for number, metric in enumerate(metrics):
        rate, mean = metric["success_rate"], metric["value_mean"]
        tile = tiles.nth(number)
        expect(tile).to_contain_text(f"{metric['domain']}/{metric['metric']}")
        expect(tile.locator(".big")).to_contain_text(percent(rate) if rate is not None else f"{mean:,.4g}")
        expect(tile).to_contain_text(f"{metric['events']:,} event")
    for ledger in api(visitor, "/api/governance/risk/ledger/today")["ledgers"]:
        row = page.locator("#risk").get_by_role("row", name=re.compile(rf"^{ledger['engine']}\b"))
        expect(row).to_contain_text(f"{float(ledger['realized_loss']):,.2f}")
        expect(row.get_by_role("cell").last).to_have_text(str(ledger["denials"]))
    for state in api(visitor, "/api/governance/regression/state")["states"]:
        row = page.locator("#tripwires").get_by_role("row", name=re.compile(state["metric"]))
        expect(row).to_contain_text(f"{state['drop_fraction']:.1%}")
    for card in api(visitor, "/api/governance/heimdall/scorecard/today")["scorecards"]:
        row = page.locator("#charter").get_by_role("row", name=re.compile(rf"^{card['domain']}\b"))
        expect(row.get_by_role("cell").nth(1)).to_contain_text(str(card["trials"]))
    runbook = api(visitor, "/api/governance/runbook/status")
    for check in (*runbook["blockers"], *runbook["warnings"], *runbook["info"]):
        expect(page.locator("#checks")).to_contain_text(check["id"])
        expect(page.locator("#checks")).to_contain_text(check["message"])
    visitor.check()


def test_what_is_shown_refreshes_and_leaves_alone_who_types(visitor: Visitor) -> None:
    page, url = visitor.page, visitor.site.url
    page.clock.install()
    visitor.sign_in()

    def refreshed(place: str, text: str) -> None:
        # A runbook is up to a second old, so the first refresh may come too early.
        def came() -> bool:
            page.clock.run_for(10_500)
            return text in page.locator(place).inner_text()

        wait_until(came)

    go_live.engage_kill_switch(url, actor="token:bob", reason="from elsewhere")
    refreshed("#fresh", "The verdict changed. No-go")
    expect(page.get_by_role("heading", level=1)).to_contain_text("No-go")
    page.get_by_text("Release…").click()
    reason = page.get_by_label("Reason, for the audit trail").locator("visible=true")
    reason.fill("half a sen")
    go_live.release_kill_switch(url, actor="token:bob", reason="from elsewhere, too")
    refreshed("#changes", "from elsewhere, too")
    expect(reason).to_have_value("half a sen")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pause refresh").click()
    go_live.engage_kill_switch(url, actor="token:bob", reason="a third time")
    page.clock.run_for(60_500)
    expect(page.locator("#changes")).not_to_contain_text("a third time")
    page.get_by_role("button", name="Resume refresh").click()
    expect(page.locator("#changes")).to_contain_text("a third time")
    visitor.check()


def test_a_refresh_keeps_what_was_typed_and_no_focus_keeps_an_old_verdict(visitor: Visitor) -> None:
    page, url = visitor.page, visitor.site.url
    page.clock.install()
    visitor.sign_in()
    verdict = page.locator("#verdict")

    def refreshed(text: str) -> None:
        def came() -> bool:
            page.clock.run_for(10_500)
            return text in verdict.inner_text()

        wait_until(came)

    page.get_by_text("Engage…").click()
    reason = page.locator("#engage-reason")
    reason.fill("half a sen")
    page.get_by_role("heading", name="Runbook").click()  # to look at something: the sheet closes
    expect(reason).to_be_hidden()
    go_live.disable(url, actor="token:bob", reason="from elsewhere")
    refreshed("from elsewhere")
    page.get_by_text("Engage…").click()
    expect(reason).to_have_value("half a sen")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Engage…")).to_be_focused()
    go_live.disable(url, actor="token:bob", reason="while the button has the focus")
    refreshed("while the button has the focus")
    expect(page.get_by_text("Engage…")).to_be_focused()
    go_live.engage_kill_switch(url, actor="token:bob", reason="and it is gone")
    refreshed("and it is gone")
    expect(page.get_by_text("Release…")).to_be_focused()
    visitor.check()


def test_everything_is_read_and_done_without_javascript(browser: Any, visitor: Visitor) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    plain = Visitor(page, visitor.site)
    plain.sign_in()
    expect(page.get_by_role("heading", name="Rates")).to_be_visible()
    page.get_by_text("Engage…").click()
    page.get_by_label("Reason, for the audit trail").locator("visible=true").fill("by hand")
    page.get_by_role("button", name="Engage the kill switch").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("No-go")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(visitor: Visitor, scheme: Any, width: int) -> None:
    page = visitor.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/sign-in"):
        visitor.go(path)
        assert axe(page) == [], path
    visitor.sign_in()
    for path in PARTS:
        visitor.go(path)
        assert axe(page) == [], path
        assert fits(page), path
    visitor.go("/")
    page.get_by_text("Engage…").click()
    assert axe(page) == []
    assert fits(page)
    visitor.check()
    visitor.go("/tripwire")  # an error
    assert axe(page) == []


@pytest.mark.parametrize("site", [None], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_at_the_first_run(visitor: Visitor, scheme: Any) -> None:
    page = visitor.page
    page.emulate_media(color_scheme=scheme)
    visitor.sign_in()
    expect(page.get_by_text("No KPI event yet")).to_be_visible()
    for path in PARTS:
        visitor.go(path)
        assert axe(page) == [], path
        assert fits(page), path
    visitor.check()


@pytest.mark.parametrize("site", [scene.hostile], indirect=True)
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_text_is_text_in_every_field(visitor: Visitor, width: int) -> None:
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 800})
    given = scene.hostile_names()
    visitor.sign_in()
    stream = f"/tripwire?domain={quoted(given['domain'])}&metric={quoted(given['metric'])}"
    deal = f"/correlation?id={quoted(given['correlation_id'])}"
    for path, said in (
        ("/", given["domain"]),
        ("/audit", given["metric"]),
        (stream, given["metric"]),
        (deal, given["actor"].replace("\u202e", "\\u202e")),
        (f"/audit?actor={quoted(scene.HOSTILE[:128])}", "No act fits"),
        (f"/?domain={quoted(given['domain'])}", given["domain"]),
    ):
        visitor.go(path)
        expect(page.locator("main")).to_contain_text(said)
        assert page.title().endswith("golive")
        assert page.locator("main img, main script, main b").count() == 0
        assert "\u202e" not in page.locator("main").inner_text()
        assert fits(page), path
        assert axe(page) == [], path
        visitor.check()


def test_the_description_of_the_api_loads_nothing_from_elsewhere(visitor: Visitor) -> None:
    hosts: set[str] = set()
    visitor.page.on("request", lambda asked: hosts.add(asked.url.split("/")[2]))
    visitor.go("/api/docs")
    expect(visitor.page.get_by_text("/api/governance/runbook/status")).to_be_visible()
    assert {f"http://{host}" for host in hosts} == {visitor.site.address}
    visitor.check()


def test_it_weighs_little(visitor: Visitor) -> None:
    weights: list[int] = []
    visitor.sign_in()
    visitor.page.on("response", lambda answer: weights.append(len(answer.body())))
    visitor.page.context.clear_cookies()
    visitor.sign_in()
    weights.clear()
    visitor.go("/")
    visitor.page.wait_for_load_state("networkidle")
    assert sum(weights) < 200_000


def axe(page: Page) -> list[str]:
    """Return what axe-core complains of: rule, and where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary')}"
        for each in found
        for node in each["nodes"]
    ]


def fits(page: Page) -> bool:
    """Return whether the page needs no scrolling sideways."""
    width: bool = page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return width


def api(visitor: Visitor, path: str) -> Any:
    return httpx.get(visitor.site.address + path, headers=visitor.site.headers, timeout=30).json()


def quoted(text: str | None) -> str:
    from urllib.parse import quote

    return quote(text or "", safe="")
