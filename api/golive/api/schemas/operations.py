"""What goes over the wire about the service itself."""

from typing import Literal

from golive.api.schemas.base import Answer


class Health(Answer):
    """Whether this process works."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
