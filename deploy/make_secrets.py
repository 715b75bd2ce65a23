"""Make the secrets of the composition, each in a file of its own; those there are kept.

    python -m deploy.make_secrets /run/secrets/golive

Whoever has better ones puts them there first: a webhook of one's own is `alert_webhook_url`.
"""

import secrets
import sys
from pathlib import Path

RANDOM = (
    "postgres_password",
    "clickhouse_password",
    "grafana_db_password",
    "grafana_admin_password",
    "alert_webhook_token",
)
DEFAULT_WEBHOOK = "http://alert-log:9099/"


def main(folder: Path) -> None:
    """Write what is missing in the folder."""
    for name in RANDOM:
        write(folder / name, secrets.token_urlsafe(24))
    write(folder / "alert_webhook_url", DEFAULT_WEBHOOK)
    password = (folder / "postgres_password").read_text().strip()
    # libpq takes a password file of nobody else's only.
    write(folder / "pgpass", f"*:*:*:golive:{password}\n", mode=0o600)


def write(file: Path, text: str, mode: int = 0o444) -> None:
    """Write the file at once and whole, unless it is there. Other users' servers read it: see `mode`."""
    if file.exists():
        return
    unfinished = file.with_suffix(".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.chmod(mode)
    unfinished.rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
