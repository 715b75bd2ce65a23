"""Fixtures every test may use: real databases of both kinds, empty or with golive's tables, and a process's own."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from golive import database, governance, pipeline
from golive.account import Account
from tests.support.clickhouse import ClickHouseServer, embedded_url, make_cluster
from tests.support.places import Place, opened
from tests.support.postgres import PostgresServer, PostgresUnavailable


@pytest.fixture(autouse=True)
def engines_disposed() -> Iterator[None]:
    """Close what golive's own engines hold: a test has its own database, and no other needs it."""
    yield
    for engine in governance._engines.values():
        engine.dispose()
    governance._engines.clear()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL, one for each test process. A test that stops it must start it again."""
    try:
        server = PostgresServer()
        server.start()
    except PostgresUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"needs PostgreSQL: {error}")
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    with _database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'golive.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with golive's tables; to copy it takes a hundredth of the time they take to make."""
    file = tmp_path_factory.mktemp("template") / "golive.db"
    database.upgrade(database.normalise_url(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database with golive's tables, to make others from."""
    name = "golive_template"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    database.upgrade(database.normalise_url(postgres_server.url(name)))
    return name


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an SQLite file with golive's tables."""
    file = shutil.copy(sqlite_template, tmp_path / "golive.db")
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_store(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with golive's tables, dropped afterwards."""
    with _database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a database with golive's tables, of each kind in turn."""
    url: str = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    return url


@pytest.fixture(scope="session")
def clickhouse_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ClickHouse's engine keeps its data: a process can have one folder open in its life."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture
def clickhouse_store(clickhouse_folder: Path) -> str:
    """The URL of a ClickHouse database nobody has used; its tables are made at the first use."""
    return embedded_url(clickhouse_folder)


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """ClickHouse's engine in a process of its own, one for each test process. A test that ends it must start it again."""
    server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse_server"))
    yield server
    server.stop()


@pytest.fixture
def server_store(clickhouse_server: ClickHouseServer) -> str:
    """The URL of a ClickHouse database with golive's tables, reached over HTTP."""
    return clickhouse_server.new_store()


@pytest.fixture
def cluster_store(clickhouse_store: str) -> str:
    """The URL of a ClickHouse database with the tables of a cluster."""
    make_cluster(clickhouse_store)
    return clickhouse_store


@pytest.fixture(
    params=[
        "sqlite",
        "postgres",
        pytest.param("server", marks=pytest.mark.stack, id="clickhouse"),
        pytest.param("cluster", marks=pytest.mark.stack),
    ]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store of events, of each kind in turn."""
    with opened(request.getfixturevalue(f"{request.param}_store")) as place:
        yield place


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, store: str) -> str:
    """The URL of a store whose environment is as production needs it: the runbook has no blocker."""
    monkeypatch.setenv("ENV", "production")
    monkeypatch.setenv("GO_LIVE_ENFORCE", "1")
    monkeypatch.setenv("DATABASE_URL", store)
    return store


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment for a process of its own: no settings of golive's or OpenTelemetry's, a fresh spool."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOLIVE_", "OTEL_"))}
    kept.pop("DATABASE_URL", None)
    return {**kept, "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def account() -> Iterator[Account]:
    """The account of this process, empty; its next pipeline starts with the settings of the environment."""
    pipeline.shutdown()
    pipeline._process.configured = None
    pipeline.account().reset()
    yield pipeline.account()
    pipeline.shutdown()
    pipeline.account().reset()


@contextmanager
def _database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    # A copy of files needs a checkpoint, which costs nothing without `fsync`, and no log of every page.
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield server.url(name)
    server.start()
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.url().replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())
