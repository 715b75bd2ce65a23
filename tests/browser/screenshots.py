"""Take the screenshots of the documentation: `make screenshots`.

python -m tests.browser.screenshots [FOLDER]
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, sync_playwright

from golive import database, tokens
from tests.browser.chromium import FLAGS, find
from tests.support import scene
from tests.support.service import golive_serve

SIZES = {"wide": (1280, 2400), "narrow": (390, 1500)}
"""Width, and the most of the height that is shown."""
TRIPPED = "/tripwire?domain=WHOLESALE&metric=contract_rate"
_WHOLE = "document.documentElement.scrollHeight"
_GLANCE = "document.querySelector('#tripwires').getBoundingClientRect().bottom + scrollY + 16"
"""For the README: down to the tripwires."""
PARTS = {
    "overview": "/",
    "glance": "/#tripwires",
    "correlation": f"/correlation?id={scene.DEAL}",
    "tripwire": TRIPPED,
    "audit": "/audit",
}


def main(folder: Path) -> None:
    """Make a store, serve it, and take every part of the page, light and dark, wide and narrow."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {
            "GOLIVE_SPOOL_DIR": f"{scratch}/spool",
            "GOLIVE_TRACE_URL": "http://localhost:3200/trace/{trace_id}",
            "GOLIVE_EVALUATE_INTERVAL_SECONDS": "0",
        }
        for name, tell in (("", True), ("first-run", False)):
            url = f"sqlite:///{scratch}/{name or 'golive'}.db"
            database.upgrade(database.normalise_url(url))
            secret = tokens.create(url, name="ops", scopes=tokens.SCOPES, actor="cli:ops")
            if tell:
                scene.tell(url)
            with golive_serve(Path(scratch), environment | {"DATABASE_URL": url}) as (address, _, _):
                take(address, secret, folder, PARTS if tell else {"first-run": "/"})
                if tell:
                    take(address, None, folder, {"sign-in": "/sign-in"})


def take(address: str, secret: str | None, folder: Path, parts: dict[str, str]) -> None:
    """Take these parts, signed in with a token if there is one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        schemes: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
        for scheme in schemes:
            for name, (width, height) in SIZES.items():
                viewport: Any = {"width": width, "height": 800}
                context = browser.new_context(viewport=viewport, color_scheme=scheme)
                page = context.new_page()
                if secret is not None:
                    sign_in(page, address, secret)
                for part, path in parts.items():
                    if part == "glance" and (name, scheme) != ("wide", "light"):
                        continue
                    page.goto(address + path)
                    page.wait_for_load_state("networkidle")
                    whole = page.evaluate(_GLANCE if part == "glance" else _WHOLE)
                    page.screenshot(
                        path=folder / f"{part}-{name}-{scheme}.png",
                        full_page=True,
                        clip={"x": 0, "y": 0, "width": width, "height": min(whole, height)},
                    )
                context.close()
        browser.close()


def sign_in(page: Page, address: str, secret: str) -> None:
    """Sign in through the form."""
    page.goto(f"{address}/sign-in")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{address}/")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
