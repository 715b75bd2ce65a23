"""Somebody who uses the control-plane page by HTTP."""

import html
import re

import httpx

from golive import tokens

ACTS = (
    "/go-live/enable",
    "/go-live/disable",
    "/kill-switch/engage",
    "/kill-switch/release",
    "/tripwire/policy",
    "/tripwire/rearm",
    "/tripwire/backtest",
)
"""What forms are sent to."""
PARTS = (
    "/",
    "/correlation",
    "/correlation?id=deal_1",
    "/audit",
    "/tripwire?domain=WHOLESALE&metric=contract_rate",
)
"""What may be looked at."""


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
