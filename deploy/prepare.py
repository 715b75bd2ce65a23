"""Prepare the store, once before golive serves: tables, tokens of those who ask it, a role for Grafana.

    python -m deploy.prepare /run/secrets/golive          # on DATABASE_URL

It may run again: what is there stays.
"""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.make_secrets import write

TOKENS = {
    "prometheus": ["read"],
    "collector": ["ingest"],
    "operator": ["read", "ingest", "operate"],
}
"""Who asks golive, and with which scopes; the token of each is in the file NAME_token."""


def main(folder: Path) -> None:
    """Prepare the store; the secrets are in the folder, and the tokens are added to them."""
    golive("db", "upgrade")
    for name, scopes in TOKENS.items():
        file = folder / f"{name}_token"
        if not file.exists():
            options = [f"--scope={scope}" for scope in scopes]
            write(file, golive("token", "create", name, *options).strip())
    make_role("grafana", (folder / "grafana_db_password").read_text().strip())


def golive(*arguments: str) -> str:
    """Run `golive …` and return what it printed."""
    command = [sys.executable, "-m", "golive.cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 # nosec B603


def make_role(name: str, password: str) -> None:
    """Let a role read the events, and nothing else: tokens are none of a dashboard's business."""
    role = sql.Identifier(name)
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        known = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))
        connection.execute(sql.SQL("GRANT SELECT ON kpi_event TO {}").format(role))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
