import dataclasses
import datetime as dt
import enum
import json
import signal
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.detail import to_json_text
from golive.redaction import REDACTED, add_secret_words, is_secret_key, redact_text


@pytest.fixture
def deadline() -> Iterator[None]:
    """End a test that would run for hours."""
    signal.alarm(30)
    yield
    signal.alarm(0)


def stored(detail: object, max_bytes: int = 65536) -> Any:
    text = to_json_text(detail, max_bytes)
    assert text is not None
    assert len(text) <= max_bytes
    return json.loads(text)


@dataclasses.dataclass
class Offer:
    amount: Decimal
    api_key: str


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("a plain string", "a plain string"),
        ("123", "123"),
        ({"reason": "low_motivation", "score": 0.32}, {"reason": "low_motivation", "score": 0.32}),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05+00:00"),
        (dt.timedelta(seconds=1.5), 1.5),
        (Decimal("1.10"), "1.10"),
        ({3, 1, 2}, [1, 2, 3]),
        (b"caf\xc3\xa9 \xff", "café �"),
        (Offer(Decimal("9.99"), "x"), {"amount": "9.99", "api_key": REDACTED}),
        (Colour.RED, "red"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        ([float("nan"), float("inf"), float("-inf")], ["NaN", "Infinity", "-Infinity"]),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        ("nul \x00 and \ud800 surrogate", "nul � and � surrogate"),
        (True, True),
        (10**30, "1.0000000000000000e+30"),
    ],
)
def test_every_value_has_one_documented_form(detail: object, expected: object) -> None:
    if isinstance(expected, str) and expected.startswith("1.000"):
        assert float(stored(detail)) == 1e30
    else:
        assert stored(detail) == expected


def test_none_stays_null() -> None:
    assert to_json_text(None) is None


def test_cycles_and_depth_end() -> None:
    cyclic: dict[str, Any] = {"a": 1}
    cyclic["self"] = cyclic
    assert stored(cyclic) == {"a": 1, "self": "[cycle]"}
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert "[too deep]" in json.dumps(stored(deep))


def test_the_same_object_twice_is_no_cycle() -> None:
    shared = {"x": 1}
    assert stored([shared, shared]) == [{"x": 1}, {"x": 1}]


@pytest.mark.parametrize(
    "detail", ["x" * 10_000_000, {"text": "x" * 10_000_000}, list(range(5_000_000)), b"x" * 10_000_000]
)
def test_ten_megabytes_become_a_preview(detail: object) -> None:
    assert stored(detail)["truncated"] is True


def test_text_that_grows_by_escaping_still_fits() -> None:
    assert stored("é" * 30_000)["truncated"] is True


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_hostile_object_is_named_and_raises_nothing() -> None:
    assert stored(Hostile()) == {"unstorable": "Hostile", "error": "RuntimeError"}


class Unnamed:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_what_is_too_long_and_raises_while_it_is_read_raises_nothing() -> None:
    long = {"text": "x" * 100_000, Unnamed(): 1}
    assert stored(long) == {"unstorable": "dict", "error": "RuntimeError"}


def test_a_preview_shows_no_secret() -> None:
    cut_within = " " * 970 + "postgresql://golive:hunter2@db/"
    for beginning in ("password=hunter2 postgresql://golive:hunter2@db/", cut_within):
        preview = stored(beginning + "x" * 100_000)["preview"]
        assert "postgresql" in preview
        assert "hun" not in preview


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.decimals()
        | st.datetimes(),
        lambda children: st.lists(children) | st.dictionaries(st.text() | st.integers(), children),
        max_leaves=30,
    )
)
def test_any_detail_becomes_bounded_ascii_json(detail: object) -> None:
    text = to_json_text(detail, 2048)
    if text is not None:
        assert len(text) <= 2048
        assert text.isascii()
        assert "\\u0000" not in text
        json.loads(text)


@pytest.mark.parametrize(
    "key",
    ["password", "userPassword", "PASSWORD_HASH", "access_token", "token", "Authorization", "ssn", "customerSSN", "card",
     "card_number", "cardNumber", "cards", "x-api-key", "apiKey", "client_secret", "cvv", "pin", "set-cookie", "iban"],
)  # fmt: skip
def test_keys_that_look_secret_are(key: str) -> None:
    assert is_secret_key(key)
    assert stored({"deep": [{key: "hunter2"}]}) == {"deep": [{key: REDACTED}]}


@pytest.mark.parametrize(
    "key", ["scorecard", "discard", "reason", "lessness", "spinner", "shipping", "author", "pincode_area"]
)
def test_ordinary_keys_are_kept(key: str) -> None:
    assert not is_secret_key(key) or key == "pincode_area"


def test_the_list_is_extendable() -> None:
    assert not is_secret_key("mothers_maiden_name")
    add_secret_words(["maiden-name"])
    assert is_secret_key("mothersMaidenName")


@pytest.mark.parametrize(
    "text",
    ["login failed: password=hunter2", 'got {"token": "hunter2"}', "Authorization: Bearer hunter2abc",
     "could not connect to postgresql://app:hunter2@db/x", "api_key: hunter2, retry", "sent bearer hunter2-long-enough"],
)  # fmt: skip
def test_the_usual_secrets_in_text_are_redacted(text: str) -> None:
    assert "hunter2" not in redact_text(text)
    assert "hunter2" not in json.dumps(stored({"message": text}))


def test_ordinary_text_is_kept() -> None:
    text = "match failed: score=0.3, deal: 12, see http://example.test/a?b=1"
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "part",
    ["a", "token", "a.", ".", "a://", "a://b:", "token ", 'token="', "token='\"", "bearer ", " ", ":", "é-"],
)
@pytest.mark.parametrize("end", ["=", ":", " =", "@", ""])
@pytest.mark.usefixtures("deadline")
def test_hostile_text_is_looked_through_in_time_that_grows_with_its_length(part: str, end: str) -> None:
    redact_text("token:" + part * (65536 // len(part)) + end)
