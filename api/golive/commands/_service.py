"""Asks a golive service for its runbook, and tells why when there is none."""

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, TypeGuard

from golive import settings

_PATH: Final = "/api/governance/runbook/status"
_TIMEOUT_S: Final = 15.0
_MAX_BYTES: Final = 16 << 20
_GOING: Final = ("pass", "warn")
_SHOWN: Final = {"id", "ok", "severity", "message", "action"}


class ServiceProblem(Exception):
    """The service gave no runbook."""


class Refused(ServiceProblem):
    """It, or the address, is not as it has to be: whoever configured the call has to mend it."""


class Unreachable(ServiceProblem):
    """It cannot be reached, or does not work."""


class Senseless(ServiceProblem):
    """It answered something that is no runbook."""


def fetch_runbook(url: str, token_file: Path | None) -> dict[str, Any]:
    """Return the runbook of the service at `url`; raises `ServiceProblem`."""
    if not re.match(r"https?://", url):
        raise Refused(f"--url: expected http://… or https://…, got {url}")
    request = urllib.request.Request(url.rstrip("/") + _PATH)  # noqa: S310 - the scheme is checked
    token = _token(token_file)
    if token:
        # Not for where the service may lead: urllib would show the token there too.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        # The scheme is checked above.
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 # nosec B310
            found: Any = json.loads(_read(response))
    except urllib.error.HTTPError as error:
        raise _problem(url, error.code) from error
    except (ValueError, RecursionError) as error:
        raise Senseless(f"{url} answered something that is no runbook") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from error
    if not _is_runbook(found):
        raise Senseless(f"{url} answered something that is no runbook")
    return found


def _read(response: http.client.HTTPResponse) -> bytes:
    content = response.read(_MAX_BYTES)
    if response.length and len(content) < _MAX_BYTES:  # of a read with a bound nobody else looks
        raise http.client.IncompleteRead(content, response.length)
    return content


def _is_runbook(found: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether an answer has all that is shown and decided by, and does not contradict itself."""
    if not isinstance(found, dict) or not isinstance(found.get("verdict"), str):
        return False
    if found.get("ok_to_enable_go_live") is not (found["verdict"] in _GOING):
        return False
    parts = [found.get(part) for part in ("blockers", "warnings", "info")]
    return "generated_at" in found and all(
        isinstance(part, list) and all(isinstance(check, dict) and _is_check(check) for check in part)
        for part in parts
    )


def _is_check(found: dict[Any, Any]) -> bool:
    return found.keys() >= _SHOWN and all(isinstance(found[name], str) for name in _SHOWN - {"ok"})


def _token(file: Path | None) -> str:
    try:
        return (file.read_text() if file else os.environ.get(settings.TOKEN, "")).strip()
    except OSError as error:
        raise Refused(f"--token-file: {error.filename}: {error.strerror}") from error


def _problem(url: str, status: int) -> ServiceProblem:
    if status in (401, 403):
        return Refused(f"{url} does not let us read its runbook ({status}): set GOLIVE_TOKEN or --token-file")
    if status >= 500:
        return Unreachable(f"{url} answered {status}")
    return Senseless(f"{url} answered {status}")
