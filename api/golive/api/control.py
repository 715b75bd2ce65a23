"""What a request needs of the service it reached: the database, the gate, who may do what, and the bounds."""

from dataclasses import dataclass

from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from golive.api.auth import Authenticator
from golive.api.limits import Limits
from golive.settings import ServiceSettings


@dataclass
class Control:
    """The parts of one service; kept at `app.state.golive`."""

    engine: Engine
    """golive's own: whatever waits for the database waits no longer than the deadline."""
    settings: ServiceSettings
    anonymous: frozenset[str]
    """What needs no token: `runbook`, `metrics`, `read`."""
    authenticator: Authenticator
    limits: Limits


def control_of(connection: HTTPConnection) -> Control:
    """Return the service a request reached; made from the environment at the first request if need be."""
    control: Control = connection.app.state.golive
    return control
