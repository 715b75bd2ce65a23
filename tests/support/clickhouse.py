"""ClickHouse's real engine (`chdb`) for tests: within this process, or as a server in one of its own."""

import re
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from golive import database
from golive.exporters import clickhouse_schema
from golive.exporters._clickhouse import connect

_MISSING = "NOT TESTED, for chdb is not installed: make .venv/.clickhouse"
_PROGRAM = Path(__file__).parent / "programs" / "clickhouse_server.py"

_CLUSTER = """<clickhouse><tcp_port>9000</tcp_port><remote_servers><main><shard>
<internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica>
</shard></main></remote_servers></clickhouse>"""
"""A cluster of this process alone, which the engine asks directly and not over the network."""


def embedded_url(folder: Path) -> str:
    """Return the URL of a database nobody has used, in the engine within this process."""
    pytest.importorskip("chdb", reason=_MISSING)
    configuration = folder / "configuration.xml"
    configuration.write_text(_CLUSTER)
    path = quote(f"file:{folder / 'data'}?config-file={configuration}")
    return f"clickhousedb:///{_new_name()}?interface=chdb&path={path}"


def make_cluster(url: str) -> None:
    """Make the tables of a cluster, but for what needs a Keeper: replicas, and statements for all servers."""
    parsed = database.normalise_events_url(url)
    client = connect(parsed, 20.0, {}, database="default")
    for statement in clickhouse_schema.statements(parsed.database or "", "main"):
        alone = re.sub(
            r"Replicated(ReplacingMergeTree)\(.*\)", r"\1", statement.replace(" ON CLUSTER `main`", "")
        )
        client.command(alone)
    client.close()


class ClickHouseServer:
    """The engine behind its HTTP interface: started, killed, and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("chdb", reason=_MISSING)
        self._folder = folder
        self.port = 0
        self._process: subprocess.Popen[str]
        self.start()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it listens."""
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(self._folder), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it with no warning, in the middle of whatever it does."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """End it in good order."""
        self._process.communicate(timeout=60)

    def new_store(self) -> str:
        """Return the URL of a database with golive's tables that nobody has used."""
        url = f"clickhousedb://127.0.0.1:{self.port}/{_new_name()}"
        clickhouse_schema.upgrade(database.normalise_events_url(url))
        return url


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:12]}"
