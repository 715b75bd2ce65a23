"""`golive import` of a log into PostgreSQL, against `psql \\copy` of the same file."""

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench._rounds import compare
from sqlalchemy import create_engine, text

from golive import database
from tests.support.postgres import PostgresServer

ROUNDS = 5
_COLUMNS = "correlation_id, domain, metric, success, value, actor, created_at, detail"


def main(server: PostgresServer, log: Path) -> list[str]:
    psql = shutil.which("psql")
    if psql is None or not log.is_file():
        missing = "psql" if psql is None else "an event log"
        return [f"| `golive import` | not measured, for want of {missing} | | | | at least 0.5 |"]
    url = database.normalise_url(server.url())
    database.upgrade(url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE SEQUENCE copied_id"))
        connection.execute(text("CREATE TABLE copied (LIKE kpi_event INCLUDING ALL)"))
        connection.execute(text("ALTER TABLE copied ALTER id SET DEFAULT nextval('copied_id')"))
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "log.csv"
        with gzip.open(log) as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        environment = {**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)}

        def timed(table: str, command: list[str]) -> float:
            with engine.connect() as connection:
                connection.execute(text(f"TRUNCATE {table}"))
                connection.execute(text("CHECKPOINT"))
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
            seconds = time.perf_counter() - started
            with engine.connect() as connection:
                return seconds / (connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)

        golive = [sys.executable, "-m", "golive.cli", "import", str(plain)]
        copy = f"\\copy copied ({_COLUMNS}) FROM '{plain}' CSV HEADER"
        libpq = server.url()
        result = compare(
            lambda: timed("kpi_event", golive), lambda: timed("copied", [psql, libpq, "-c", copy]), ROUNDS
        )
    with engine.connect() as connection:
        connection.execute(text("DROP TABLE copied"))
        connection.execute(text("DROP SEQUENCE copied_id"))
    engine.dispose()
    return [
        f"| `golive import`, whole process | {1 / result.ours:,.0f} lines/s | `psql \\copy` of the same file "
        f"| {1 / result.theirs:,.0f} lines/s | {1 / result.ratio:.2f} | at least 0.5 |"
    ]
