"""Where spools are: in the folder that is set, else in the first of the user's own that can be written."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from golive import database
from golive.errors import ConfigurationError
from golive.settings import Settings
from golive.spool import Spool


def spool_roots(settings: Settings, url: URL) -> list[Path]:
    """Return the folders in which processes with these settings keep the spools of a store."""
    key = database.store_key(url)
    return [base / key for base in ([settings.spool_dir] if settings.spool_dir else _default_folders())]


def open_spool(settings: Settings, url: URL) -> Spool:
    """Return a new spool for a store.

    Raises:
        ConfigurationError: No folder for it can be made.
    """
    key = database.store_key(url)
    failures: list[str] = []
    for base in [settings.spool_dir] if settings.spool_dir else _default_folders():
        try:
            return Spool(base / key, settings.spool_max_bytes)
        except OSError as error:
            failures.append(f"{base}: {error.strerror or error}")
    raise ConfigurationError(f"spool_dir: expected a folder that can be written; {'; '.join(failures)}")


def _default_folders() -> Iterator[Path]:
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # a user without a home
        state = None
    if state:
        yield Path(state) / "golive" / "spool"
    shared = Path(tempfile.gettempdir()) / f"golive-{os.getuid()}"
    with contextlib.suppress(OSError):
        shared.mkdir(mode=0o700, exist_ok=True)
        # Anybody may make a folder of that name first: use it only if it is ours.
        if shared.stat().st_uid == os.getuid() and not shared.is_symlink():
            yield shared / "spool"
