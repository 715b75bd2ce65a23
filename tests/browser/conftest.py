"""A real `golive serve` with a story in its store, and a real Chromium that notes whatever goes wrong."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
    sync_playwright,
)

from golive import database, tokens
from tests.browser.chromium import FLAGS, find
from tests.support import scene
from tests.support.service import bearer, golive_serve

expect.set_options(timeout=20_000)  # for a busy machine

_WATCH = """
window.reports = [];
document.addEventListener("securitypolicyviolation", (e) => window.reports.push(e.violatedDirective + " " + e.blockedURI));
"""


@dataclass
class Site:
    """A service, and a token that may do everything there."""

    address: str
    url: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """What shows the token to the API."""
        return bearer(self.secret)


@dataclass
class Visitor:
    """A browser's page, and what it complained of."""

    page: Page
    site: Site
    errors: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a part, and wait until it is there."""
        self.page.goto(self.site.address + path)

    def sign_in(self) -> None:
        """Sign in through the form."""
        self.go("/sign-in")
        self.page.get_by_label("Token").fill(self.site.secret)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.site.address}/")

    def check(self) -> None:
        """Fail if the browser complained, or a report of the policy was made."""
        assert self.errors == []
        assert self.page.evaluate("window.reports") == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, one for all tests."""
    path = find()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs Chromium: apt-get install -y --no-install-recommends chromium")
        pytest.skip("NOT TESTED, for Chromium is not installed")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A service of the test's own; `@pytest.mark.parametrize("site", [scene.hostile], indirect=True)` tells
    another story."""
    tell: Any = getattr(request, "param", scene.tell)
    url = f"sqlite:///{tmp_path / 'golive.db'}"
    database.upgrade(database.normalise_url(url))
    secret = tokens.create(url, name="ops", scopes=tokens.SCOPES, actor="cli:ops")
    if tell is not None:
        tell(url)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOLIVE_", "OTEL_"))}
    environment = kept | {
        "DATABASE_URL": url,
        "ENV": "production",
        "GO_LIVE_ENFORCE": "1",
        "GOLIVE_ANONYMOUS": "runbook",
        "GOLIVE_SPOOL_DIR": str(tmp_path / "spool"),
        "GOLIVE_EVALUATE_INTERVAL_SECONDS": "0",
        "GOLIVE_TRACE_URL": "http://localhost:3200/trace/{trace_id}",
    }
    with golive_serve(tmp_path, environment) as (address, _, _):
        yield Site(address, url, secret)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that remembers nothing of others."""
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.fixture
def visitor(context: BrowserContext, site: Site) -> Visitor:
    """Somebody who is not signed in yet."""
    context.add_init_script(_WATCH)
    made = Visitor(context.new_page(), site)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            made.errors.append(message.text)

    def asked(dialog: Dialog) -> None:
        made.errors.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def lost(request: Request) -> None:
        # What the browser gave up itself, for the next page was asked for already, is no loss.
        if request.failure != "net::ERR_ABORTED":
            made.errors.append(f"{request.url}: {request.failure}")

    made.page.on("console", said)
    made.page.on("dialog", asked)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.on("requestfailed", lost)
    return made
