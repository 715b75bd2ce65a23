"""Every environment variable golive reads, with its default; OpenTelemetry's own `OTEL_*` come on top."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from golive.errors import ConfigurationError

WhenFull = Literal["drop", "block", "raise"]

DEFAULT_DATABASE_URL: Final = "sqlite:///golive.db"

DATABASE_URL: Final = "DATABASE_URL"
EVENTS_URL: Final = "GOLIVE_EVENTS_URL"
SPOOL_DIR: Final = "GOLIVE_SPOOL_DIR"
SPOOL_MAX_BYTES: Final = "GOLIVE_SPOOL_MAX_BYTES"
SPOOL_WHEN_FULL: Final = "GOLIVE_SPOOL_WHEN_FULL"
SPOOL_BLOCK_SECONDS: Final = "GOLIVE_SPOOL_BLOCK_SECONDS"
SHUTDOWN_SECONDS: Final = "GOLIVE_SHUTDOWN_SECONDS"
DETAIL_MAX_BYTES: Final = "GOLIVE_DETAIL_MAX_BYTES"
MAX_SERIES: Final = "GOLIVE_MAX_SERIES"
REDACT_KEYS: Final = "GOLIVE_REDACT_KEYS"
EVALUATE_EVERY_EVENTS: Final = "GOLIVE_EVALUATE_EVERY_EVENTS"
RETENTION_DAYS: Final = "GOLIVE_RETENTION_DAYS"
"""For how many days `golive db maintain` keeps events; for ever without it."""

ENV: Final = "ENV"
GO_LIVE_ENFORCE: Final = "GO_LIVE_ENFORCE"
REQUIRED_PACKS: Final = "GOLIVE_REQUIRED_PACKS"
RUNBOOK_INTERVAL_SECONDS: Final = "GOLIVE_RUNBOOK_INTERVAL_SECONDS"
STATE_MAX_AGE_SECONDS: Final = "GOLIVE_STATE_MAX_AGE_SECONDS"
DATABASE_DEADLINE_SECONDS: Final = "GOLIVE_DATABASE_DEADLINE_SECONDS"

ANONYMOUS: Final = "GOLIVE_ANONYMOUS"
HOSTS: Final = "GOLIVE_HOSTS"
OIDC_ISSUER: Final = "GOLIVE_OIDC_ISSUER"
OIDC_AUDIENCE: Final = "GOLIVE_OIDC_AUDIENCE"
MAX_BODY_BYTES: Final = "GOLIVE_MAX_BODY_BYTES"
MAX_BATCH_EVENTS: Final = "GOLIVE_MAX_BATCH_EVENTS"
REQUESTS_PER_MINUTE: Final = "GOLIVE_REQUESTS_PER_MINUTE"
AUDIT_INTERVAL_SECONDS: Final = "GOLIVE_AUDIT_INTERVAL_SECONDS"
EVALUATE_INTERVAL_SECONDS: Final = "GOLIVE_EVALUATE_INTERVAL_SECONDS"
TRACE_URL: Final = "GOLIVE_TRACE_URL"
TOKEN: Final = "GOLIVE_TOKEN"  # noqa: S105 - the name of a variable
"""The token with which `golive runbook --url` asks a service."""

TRACE_ID_PLACE: Final = "{trace_id}"

PRODUCTION: Final = "production"
"""The value of `ENV` that means production."""
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")
_DEADLINE_MIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a pipeline runs with. Sizes are bytes, times seconds."""

    database_url: str | None = None
    """`DATABASE_URL`: the event store. None: the database of the first session, else `golive.db`."""
    events_url: str | None = None
    """`GOLIVE_EVENTS_URL`: the event store, where it is another database than that of the levers; ClickHouse
    for one. None: they share one."""
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
    evaluate_every_events: int = 0
    """`GOLIVE_EVALUATE_EVERY_EVENTS`: after how many new events of a stream this process evaluates its
    tripwire, in the background. 0: never."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the production gate runs with. Times are seconds."""

    env: str = ""
    """`ENV`: `production` where production runs."""
    enforce: bool = False
    """`GO_LIVE_ENFORCE`: whether requests are refused while go-live is off. Always so with `ENV=production`;
    anything but a clear no means yes."""
    required_packs: tuple[str, ...] = ()
    """`GOLIVE_REQUIRED_PACKS`: names, by commas, that must be installed: Python distributions, or entry
    points of the group `golive.packs`."""
    runbook_interval_s: float = 1.0
    """`GOLIVE_RUNBOOK_INTERVAL_SECONDS`: the runbook is evaluated at most once in it, and no answer of a
    gate is older."""
    state_max_age_s: float = 5.0
    """`GOLIVE_STATE_MAX_AGE_SECONDS`: an older go-live state is not acted on: production is
    refused, where go-live is enforced."""
    database_deadline_s: float = 2.0
    """`GOLIVE_DATABASE_DEADLINE_SECONDS`: how long a governance statement may wait for the database."""

    @property
    def in_production(self) -> bool:
        """Whether `ENV` says production, in capitals or not: who writes `Production` means it."""
        return self.env.lower() == PRODUCTION


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the HTTP service runs with."""

    anonymous: frozenset[str] = frozenset()
    """`GOLIVE_ANONYMOUS`: what needs no token, by commas: `runbook`, `metrics`, `read`, or `none`. `golive
    serve` on loopback opens `runbook` and `metrics` unless it says something else."""
    hosts: tuple[str, ...] = ()
    """`GOLIVE_HOSTS`: names, by commas and without ports, that requests may be for. Any if it is not set;
    `golive serve` sets those of loopback where it opens something by itself."""
    oidc_issuer: str | None = None
    """`GOLIVE_OIDC_ISSUER`: whose JSON Web Tokens are taken."""
    oidc_audience: str | None = None
    """`GOLIVE_OIDC_AUDIENCE`: the audience they must name; required with an issuer."""
    max_body_bytes: int = 4 << 20
    """`GOLIVE_MAX_BODY_BYTES`: a longer request body is refused."""
    max_batch_events: int = 1000
    """`GOLIVE_MAX_BATCH_EVENTS`: a larger batch of events is refused."""
    requests_per_minute: int = 6000
    """`GOLIVE_REQUESTS_PER_MINUTE`: of one credential or, without one, one address, in each process."""
    audit_interval_s: float = 3600.0
    """`GOLIVE_AUDIT_INTERVAL_SECONDS`: how often `golive serve` verifies the whole audit chain."""
    evaluate_interval_s: float = 60.0
    """`GOLIVE_EVALUATE_INTERVAL_SECONDS`: how often `golive serve` evaluates the tripwires. 0: never."""
    trace_url: str | None = None
    """`GOLIVE_TRACE_URL`: where the page's links to traces lead, an address with `{trace_id}` in it."""


ANONYMOUS_PARTS: Final = ("runbook", "metrics", "read")


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the pipeline's settings of `environ`, by default the process's own.

    Raises:
        ConfigurationError: A variable has a value that cannot work; the message names it.
    """
    given = _given(environ)
    default = Settings()
    spool_dir = given.get(SPOOL_DIR)
    return Settings(
        database_url=given.get(DATABASE_URL),
        events_url=given.get(EVENTS_URL),
        spool_dir=Path(spool_dir) if spool_dir else None,
        spool_max_bytes=int(_number(given, SPOOL_MAX_BYTES, default.spool_max_bytes, at_least=4096)),
        when_full=parse_when_full(given.get(SPOOL_WHEN_FULL, default.when_full), SPOOL_WHEN_FULL),
        block_seconds=_number(given, SPOOL_BLOCK_SECONDS, default.block_seconds),
        shutdown_seconds=_number(given, SHUTDOWN_SECONDS, default.shutdown_seconds),
        detail_max_bytes=int(_number(given, DETAIL_MAX_BYTES, default.detail_max_bytes, at_least=256)),
        max_series=int(_number(given, MAX_SERIES, default.max_series, at_least=1)),
        redact_keys=_words(given, REDACT_KEYS),
        evaluate_every_events=int(_number(given, EVALUATE_EVERY_EVENTS, default.evaluate_every_events)),
    )


def gate_from_environment(environ: Mapping[str, str] | None = None) -> GateSettings:
    """Return the gate's settings of `environ`, by default the process's own.

    Raises:
        ConfigurationError: A variable has a value that cannot work; the message names it.
    """
    given = _given(environ)
    default = GateSettings()
    env = given.get(ENV, default.env)
    return GateSettings(
        env=env,
        enforce=env.lower() == PRODUCTION or given.get(GO_LIVE_ENFORCE, "0").lower() not in _FALSE,
        required_packs=_words(given, REQUIRED_PACKS),
        runbook_interval_s=_number(given, RUNBOOK_INTERVAL_SECONDS, default.runbook_interval_s),
        state_max_age_s=_number(given, STATE_MAX_AGE_SECONDS, default.state_max_age_s, at_least=1),
        database_deadline_s=_number(
            given, DATABASE_DEADLINE_SECONDS, default.database_deadline_s, at_least=_DEADLINE_MIN_S
        ),
    )


def database_deadline_from_environment() -> float:
    """Return the deadline alone, in seconds, for whoever needs it at every call.

    Raises:
        ConfigurationError: The variable has a value that cannot work.
    """
    text = os.environ.get(DATABASE_DEADLINE_SECONDS, "").strip()
    given = {DATABASE_DEADLINE_SECONDS: text} if text else {}
    default = GateSettings().database_deadline_s
    return _number(given, DATABASE_DEADLINE_SECONDS, default, at_least=_DEADLINE_MIN_S)


def events_url_from_environment() -> str | None:
    """Return the URL of an event store apart from the database; None where they are one."""
    return os.environ.get(EVENTS_URL, "").strip() or None


def evaluate_every_from_environment() -> int:
    """Return after how many events tripwires are evaluated; 0 for never.

    Raises:
        ConfigurationError: The variable has a value that cannot work.
    """
    default = Settings().evaluate_every_events
    return int(_number(_given(None), EVALUATE_EVERY_EVENTS, default))


def retention_days_from_environment() -> int | None:
    """Return for how many days events are kept; None for ever.

    Raises:
        ConfigurationError: The variable has a value that cannot work.
    """
    text = os.environ.get(RETENTION_DAYS, "").strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{RETENTION_DAYS}: expected a number of days, got {text!r}") from None


def service_from_environment(environ: Mapping[str, str] | None = None) -> ServiceSettings:
    """Return the HTTP service's settings of `environ`, by default the process's own.

    Raises:
        ConfigurationError: A variable has a value that cannot work; the message names it.
    """
    given = _given(environ)
    default = ServiceSettings()
    issuer, audience = given.get(OIDC_ISSUER), given.get(OIDC_AUDIENCE)
    if (issuer is None) != (audience is None):
        raise ConfigurationError(f"{OIDC_ISSUER} and {OIDC_AUDIENCE}: expected both or neither")
    return ServiceSettings(
        anonymous=_anonymous(given),
        hosts=_words(given, HOSTS),
        oidc_issuer=issuer,
        oidc_audience=audience,
        max_body_bytes=int(_number(given, MAX_BODY_BYTES, default.max_body_bytes, at_least=1024)),
        max_batch_events=int(_number(given, MAX_BATCH_EVENTS, default.max_batch_events, at_least=1)),
        requests_per_minute=int(_number(given, REQUESTS_PER_MINUTE, default.requests_per_minute, at_least=1)),
        audit_interval_s=_number(given, AUDIT_INTERVAL_SECONDS, default.audit_interval_s, at_least=1),
        evaluate_interval_s=_number(given, EVALUATE_INTERVAL_SECONDS, default.evaluate_interval_s),
        trace_url=_trace_url(given.get(TRACE_URL)),
    )


def is_true(text: str) -> bool:
    """Return whether an environment variable's text says yes."""
    return text.strip().lower() in _TRUE


def parse_when_full(text: str, field: str = "when_full") -> WhenFull:
    """Return `text` as a policy for a full spool, or raise `ConfigurationError` naming `field`."""
    for policy in get_args(WhenFull):
        if text == policy:
            return policy  # type: ignore[no-any-return]
    raise ConfigurationError(f"{field}: expected drop, block or raise, got {text!r}")


def _given(environ: Mapping[str, str] | None) -> dict[str, str]:
    env = os.environ if environ is None else environ
    return {name: text for name in env if (text := env[name].strip())}


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in given.get(name, "").split(",") if word.strip())


def _anonymous(given: Mapping[str, str]) -> frozenset[str]:
    words = frozenset(_words(given, ANONYMOUS)) - {"none"}
    if not words <= frozenset(ANONYMOUS_PARTS):
        raise ConfigurationError(
            f"{ANONYMOUS}: expected {', '.join(ANONYMOUS_PARTS)} or none, got {given[ANONYMOUS]!r}"
        )
    return words


def _trace_url(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or TRACE_ID_PLACE not in text:
        raise ConfigurationError(
            f"{TRACE_URL}: expected an http(s) address with {TRACE_ID_PLACE} in it, got {text!r}"
        )
    return text


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
