"""A machine of its own for a fault test: a spool, a store, and programs that run against them."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import URL, text

from golive import database, host_account
from golive.exporters._clickhouse import connect

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "support" / "programs"


class Stored(NamedTuple):
    """What a test looks at of a row."""

    id: int
    domain: str
    metric: str
    success: bool | None
    correlation_id: str | None
    created_at: str


@dataclass
class Machine:
    """Programs started here share one spool folder and one event store, and nothing with other tests.

    Attributes:
        folder: Where it keeps all it has.
        database_url: The database, of the levers, and of the events too without an `events_url`.
        settings: Environment variables that all of its programs have.
        events_url: ClickHouse, if the events are there.
    """

    folder: Path
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)
    events_url: str | None = None

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def acknowledged(self) -> Path:
        """Where programs note what was acknowledged to them, each process in a file of its own."""
        return self.folder / "acknowledged"

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GOLIVE_", "OTEL_", "COV_"))
        }
        if self.events_url is not None:
            inherited["GOLIVE_EVENTS_URL"] = self.events_url
        return inherited | {
            "DATABASE_URL": self.database_url,
            "GOLIVE_SPOOL_DIR": str(self.spool),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            **self.settings,
            **more,
        }

    @contextmanager
    def started(
        self, *command: object, output: IO[str] | None = None, **environment: str
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run a program of `tests/support/programs` (or a command), killed at the end if it still runs.

        Without an `output`, what it prints waits in pipes for the test to read.
        """
        with subprocess.Popen(
            self._command(command),
            stdin=subprocess.PIPE,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(**environment),
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def run(
        self, *command: object, returncode: int | None = 0, timeout_s: float = 300, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end; its return code must be the one given (None: any)."""
        done = subprocess.run(
            self._command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(**environment),
            timeout=timeout_s,
            check=False,
        )
        assert returncode in (None, done.returncode), f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def recover(self, timeout_s: float = 120) -> str:
        """Start the next process, which takes over what dead ones left; return what it logged."""
        return self.run("recover.py", timeout_s, timeout_s=timeout_s + 30).stderr

    def rows(self) -> list[Stored]:
        """Return every row, in the order of ids."""
        rows = self._ask(f"SELECT {', '.join(Stored._fields)} FROM {{events}} ORDER BY id")
        return [Stored(row[0], row[1], row[2], _boolean(row[3]), row[4], str(row[5])) for row in rows]

    def correlation_ids(self) -> list[str]:
        """Return the correlation id of every row, sorted."""
        return sorted(str(row.correlation_id) for row in self.rows())

    def store_folder(self) -> Path:
        """Return the folder of this store's spools."""
        return self.spool / database.store_key(self._store())

    def left_behind(self) -> list[str]:
        """Return what is in the spool folder, but for the account of ended processes.

        What a kill left hidden is cleared away later.
        """
        folder = self.store_folder()
        names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
        return sorted(name for name in names if not name.startswith((".", "retired")))

    def counted(self) -> Counter[tuple[str, str]]:
        """Return how many events of each metric the host's account has, whichever process counted them."""
        account = host_account.read([self.store_folder()], 400)
        counted: Counter[tuple[str, str]] = Counter()
        for (domain, metric, _), count in account.events.items():
            counted[domain, metric] += count
        return counted

    def written(self) -> Counter[tuple[str, str]]:
        """Return how many rows of each metric there are."""
        statement = "SELECT domain, metric, count(*) FROM {events} GROUP BY domain, metric"
        return Counter({(row[0], row[1]): row[2] for row in self._ask(statement)})

    def _store(self) -> URL:
        if self.events_url is not None:
            return database.normalise_events_url(self.events_url)
        return database.normalise_url(self.database_url)

    def _ask(self, statement: str) -> Sequence[Any]:
        if self.events_url is not None:
            client = connect(self._store(), 20.0, {})
            try:
                # FINAL: an event's copies that are not merged yet are one row.
                return client.query(statement.format(events="kpi_event FINAL")).result_rows
            finally:
                client.close()
        engine = database.create_store_engine(self._store())
        try:
            with engine.connect() as connection:
                return connection.execute(text(statement.format(events="kpi_event"))).all()
        finally:
            engine.dispose()

    @staticmethod
    def _command(command: tuple[object, ...]) -> list[str]:
        words = [str(word) for word in command]
        return [sys.executable, str(PROGRAMS / words[0]), *words[1:]] if words[0].endswith(".py") else words


def _boolean(value: Any) -> bool | None:
    return None if value is None else bool(value)
