"""What counts as a secret: keys whose values, and text whose parts, never leave the call (E8)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

REDACTED: Final = "[redacted]"

# Long words are secret wherever they stand in a key (`userPassword`, `x-api-key`) ...
_SUBSTRINGS = {
    "password", "passwd", "passphrase", "secret", "token", "authorization", "credential", "apikey",
    "accesskey", "privatekey", "creditcard", "cardnumber", "socialsecurity", "accountnumber",
}  # fmt: skip
# ... short ones only as a word of their own: `card_no` and `ssn`, but neither `scorecard` nor `lessness`.
_WORDS = {"pwd", "pw", "auth", "bearer", "jwt", "cookie", "ssn", "card", "cvv", "cvc", "pin", "iban", "otp"}

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")

# Text comes from strangers: each word is walked once and given back never (`*+`), or a few kilobytes of
# "tokentoken" would take minutes.
_KEY_IN_TEXT = (
    r"(?<![\w.-])(?=[\w.-]*?(?:pass(?:word|wd|phrase)|secret|token|authorization|credential|api[_-]?key"
    r"|access[_-]?key|private[_-]?key|\bssn\b|\bpwd\b|\bcvv\b))[\w.-]++"
)
_IN_TEXT = re.compile(
    rf"""(?P<key>{_KEY_IN_TEXT})(?P<sep>["']?\s*+[:=]\s*+)(?P<value>(?!\[redacted\])(?:(?:bearer|basic)\s++)?(?:"[^"]*"|'[^']*'|[^\s,;&"')\]}}]++))""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s++[\w.~+/=-]{8,}+", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?P<head>(?<![a-z0-9+.-])[a-z0-9+.-]++://[^\s:/@]*+):[^\s/@]++@", re.IGNORECASE)


def add_secret_words(words: Iterable[str]) -> None:
    """Add words that mark a key as secret wherever they stand in it; case and punctuation don't count."""
    _SUBSTRINGS.update(filter(None, (_squash(word) for word in words)))
    is_secret_key.cache_clear()


@lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Return whether values under `key` must be redacted."""
    squashed = _squash(key)
    if any(word in squashed for word in _SUBSTRINGS):
        return True
    words = _NOT_ALNUM.split(_CAMEL.sub("_", key).lower())
    return any(word.removesuffix("s") in _WORDS or word in _WORDS for word in words)


def redact_text(text: str) -> str:
    """Return `text` with `password=…`, `Authorization: Bearer …` and passwords in URLs replaced.

    Free text has no keys to go by: this catches the usual forms in error messages, not every secret.
    """
    if "=" in text or ":" in text:
        text = _IN_TEXT.sub(rf"\g<key>\g<sep>{REDACTED}", text)
        text = _URL_PASSWORD.sub(rf"\g<head>:{REDACTED}@", text)
    return _BEARER.sub(rf"\1 {REDACTED}", text)


def _squash(key: str) -> str:
    return _NOT_ALNUM.sub("", key.lower())
