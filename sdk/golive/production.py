"""May this process act in production now? What the middleware asks of each request, and code without one.

from golive.production import require_production

require_production(db)        # raises ProductionRefused while go-live is off or the kill switch is on

The state is read at most every `REFRESH_S`, whenever somebody asks: so a kill switch engaged elsewhere is
obeyed well within a second, and an idle process leaves the database in peace. Where the database cannot be
read the last state holds until it is `GOLIVE_STATE_MAX_AGE_SECONDS` old; then production is refused, where
go-live is enforced.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from golive import governance, settings, state
from golive.errors import GoliveError, ProductionRefused
from golive.settings import GateSettings
from golive.state import State

__all__ = ["Decision", "ProductionGate", "production_gate", "require_production"]

REFRESH_S: Final = 0.25
"""How old a state may be that is acted on without looking again."""


class Decision(NamedTuple):
    """Whether production may act, or why not: `kill_switch_engaged`, `go_live_disabled`, `state_unknown`."""

    allowed: bool
    reason: str | None = None
    message: str = ""


ALLOWED: Final = Decision(True)
_KILLED: Final = Decision(False, "kill_switch_engaged", "The kill switch is engaged: production is stopped.")
_DISABLED: Final = Decision(False, "go_live_disabled", "Go-live is not enabled: production is off.")
_UNKNOWN: Final = Decision(
    False, "state_unknown", "The go-live state cannot be read: production is refused until it can."
)


class ProductionGate:
    """The go-live state as one process knows it. Any thread may call any method.

    Args:
        read: Returns the state; may block up to the database's deadline, may raise.
        gate: Whether go-live is enforced, and how old a state may be.
        clock: Seconds that never go back.
    """

    def __init__(
        self, read: Callable[[], State], gate: GateSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._gate = gate
        self._clock = clock
        self._reading = threading.Lock()
        self._known: tuple[State, float] | None = None
        self._attempted_at = -float("inf")

    def decide_at_once(self) -> Decision | None:
        """Return the decision if the state is fresh; None if it has to be read, for which `decide` is."""
        known = self._known
        if known is None or self._clock() - known[1] > REFRESH_S:
            return None
        return self._judge(known[0])

    def decide(self) -> Decision:
        """Return the decision, after reading the state if need be; blocks up to the database's deadline."""
        known = self.state()
        if known is None:
            return _UNKNOWN if self._gate.enforce else ALLOWED
        return self._judge(known)

    def state(self) -> State | None:
        """Return the state, read now unless it is fresh; None if it is unknown, or too old to act on."""
        if self.decide_at_once() is None:
            with self._reading:
                if self._clock() - self._attempted_at > REFRESH_S:
                    self._refresh()
        known = self._known
        if known is None or self._clock() - known[1] > self._gate.state_max_age_s:
            return None
        return known[0]

    def _refresh(self) -> None:
        # Its age counts from before the question: the answer may be as old as that.
        asked_at = self._clock()
        try:
            self._known = self._read(), asked_at
        except (SQLAlchemyError, GoliveError):
            pass  # the state that is known holds until it is too old
        finally:
            self._attempted_at = self._clock()

    def _judge(self, known: State) -> Decision:
        if known.kill_switch_engaged:
            return _KILLED  # enforced or not: somebody asked for it
        if known.go_live_enabled or not self._gate.enforce:
            return ALLOWED
        return _DISABLED


_lock = threading.Lock()
_gates: dict[tuple[int, URL], ProductionGate] = {}


def production_gate(db: object = None) -> ProductionGate:
    """Return the gate of this process for a database, made from the environment at first use."""
    url = governance.url_of(db)
    with _lock:
        if (os.getpid(), url) not in _gates:
            gate = settings.gate_from_environment()
            _gates[os.getpid(), url] = ProductionGate(lambda: state.read(url), gate)
        return _gates[os.getpid(), url]


def require_production(db: object = None) -> None:
    """Return if production may act now.

    Raises:
        ProductionRefused: Go-live is off and enforced, the kill switch is on, or the state is unknown.
        ConfigurationError: A setting cannot work.
    """
    decision = production_gate(db).decide()
    if not decision.allowed:
        raise ProductionRefused(decision.reason or "", decision.message)
