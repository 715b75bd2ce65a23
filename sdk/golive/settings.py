"""Every environment variable golive reads, with its default; OpenTelemetry's own `OTEL_*` come on top."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from golive.errors import ConfigurationError

WhenFull = Literal["drop", "block", "raise"]

DEFAULT_DATABASE_URL: Final = "sqlite:///golive.db"

DATABASE_URL: Final = "DATABASE_URL"
SPOOL_DIR: Final = "GOLIVE_SPOOL_DIR"
SPOOL_MAX_BYTES: Final = "GOLIVE_SPOOL_MAX_BYTES"
SPOOL_WHEN_FULL: Final = "GOLIVE_SPOOL_WHEN_FULL"
SPOOL_BLOCK_SECONDS: Final = "GOLIVE_SPOOL_BLOCK_SECONDS"
SHUTDOWN_SECONDS: Final = "GOLIVE_SHUTDOWN_SECONDS"
DETAIL_MAX_BYTES: Final = "GOLIVE_DETAIL_MAX_BYTES"
MAX_SERIES: Final = "GOLIVE_MAX_SERIES"
REDACT_KEYS: Final = "GOLIVE_REDACT_KEYS"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a pipeline runs with. Sizes are bytes, times seconds."""

    database_url: str | None = None
    """`DATABASE_URL`: the event store. None: the database of the first session, else `golive.db`."""
    spool_dir: Path | None = None
    """`GOLIVE_SPOOL_DIR`: where spools live. None: `$XDG_STATE_HOME/golive/spool`."""
    spool_max_bytes: int = 1 << 30
    """`GOLIVE_SPOOL_MAX_BYTES`: bound on the disk that all spools of one store take together."""
    when_full: WhenFull = "drop"
    """`GOLIVE_SPOOL_WHEN_FULL`: `drop`, `block` (up to the deadline, then drop) or `raise`."""
    block_seconds: float = 5.0
    """`GOLIVE_SPOOL_BLOCK_SECONDS`: deadline of `block`."""
    shutdown_seconds: float = 5.0
    """`GOLIVE_SHUTDOWN_SECONDS`: how long an exiting process waits for its events to be delivered."""
    detail_max_bytes: int = 64 << 10
    """`GOLIVE_DETAIL_MAX_BYTES`: a longer `detail` is replaced by a preview."""
    max_series: int = 400
    """`GOLIVE_MAX_SERIES`: (domain, metric) pairs with a metric series of their own (E7). With four outcomes
    each, 400 stay below the 2,000 attribute sets OpenTelemetry allows an instrument."""
    redact_keys: tuple[str, ...] = ()
    """`GOLIVE_REDACT_KEYS`: further words, by commas, that mark a key of `detail` as secret (E8)."""


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of `environ`, by default the process's own.

    Raises:
        ConfigurationError: A variable has a value that cannot work; the message names it.
    """
    env = os.environ if environ is None else environ
    given = {name: text for name in env if (text := env[name].strip())}
    default = Settings()
    spool_dir = given.get(SPOOL_DIR)
    return Settings(
        database_url=given.get(DATABASE_URL),
        spool_dir=Path(spool_dir) if spool_dir else None,
        spool_max_bytes=int(_number(given, SPOOL_MAX_BYTES, default.spool_max_bytes, at_least=4096)),
        when_full=parse_when_full(given.get(SPOOL_WHEN_FULL, default.when_full), SPOOL_WHEN_FULL),
        block_seconds=_number(given, SPOOL_BLOCK_SECONDS, default.block_seconds),
        shutdown_seconds=_number(given, SHUTDOWN_SECONDS, default.shutdown_seconds),
        detail_max_bytes=int(_number(given, DETAIL_MAX_BYTES, default.detail_max_bytes, at_least=256)),
        max_series=int(_number(given, MAX_SERIES, default.max_series, at_least=1)),
        redact_keys=tuple(word for word in given.get(REDACT_KEYS, "").split(",") if word.strip()),
    )


def parse_when_full(text: str, field: str = "when_full") -> WhenFull:
    """Return `text` as a policy for a full spool, or raise `ConfigurationError` naming `field`."""
    for policy in get_args(WhenFull):
        if text == policy:
            return policy  # type: ignore[no-any-return]
    raise ConfigurationError(f"{field}: expected drop, block or raise, got {text!r}")


def _number(given: Mapping[str, str], name: str, default: float, at_least: float = 0) -> float:
    text = given.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= at_least):
        raise ConfigurationError(f"{name}: expected a number of at least {at_least}, got {text!r}")
    return number
