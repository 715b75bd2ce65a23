"""The control-plane page over real HTTP: who is let in, how long, and behind which headers."""

import html
import re

import httpx
import pytest

from golive import governance, sessions, tokens
from tests.support.service import bearer, serving, wait_until
from tests.support.visitors import ACTS, PARTS, csrf_of, sign_in, text_of


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
