"""Where a run reads and writes, and what its events are called."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CORRELATION_ID = "golive.correlation_id"
"""The attribute that tells the events of a run apart."""
WARM = "warm"
"""The correlation id of events that are not counted."""


class Place(NamedTuple):
    """What one peer may use: a folder, a sink and a PostgreSQL database of its own."""

    folder: str
    sink: str
    database: str
