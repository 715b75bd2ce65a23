"""What a database URL says, and the engine made of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from golive import database
from golive.database import normalise_url, same_database, store_key
from golive.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_libpq_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "driver",
    [
        "postgres",
        "postgresql",
        "postgresql+asyncpg",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgresql+psycopg_async",
    ],
)
def test_every_postgresql_driver_becomes_the_synchronous_one(driver: str) -> None:
    url = normalise_url(f" {driver}://app:s%40cret@db:6432/deals ")
    assert url.render_as_string(False) == "postgresql+psycopg://app:s%40cret@db:6432/deals"


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"])
def test_every_sqlite_driver_becomes_the_synchronous_one(driver: str) -> None:
    assert normalise_url(f"{driver}:////var/lib/golive.db") == make_url("sqlite:////var/lib/golive.db")


def test_a_relative_sqlite_path_is_fixed_where_it_is_first_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert normalise_url("sqlite:///deals/golive.db").database == str(tmp_path / "deals" / "golive.db")
    assert normalise_url("sqlite:///file:golive.db?uri=true").database == f"file:{tmp_path}/golive.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///:memory:",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:shared?mode=memory&cache=shared&uri=true",
    ],
)
def test_sqlite_in_memory_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(ConfigurationError, match="another, empty database"):
        normalise_url(url)


@pytest.mark.parametrize("url", ["mysql+pymysql://app:hunter2@db/deals", "oracle://app:hunter2@db/x"])
def test_another_database_is_refused_by_naming_those_that_work(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SQLite or PostgreSQL") as caught:
        normalise_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "hunter2", "postgresql//app:hunter2@db", "postgresql://app:hunter2@db:x/y"]
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        normalise_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_arguments_only_asyncpg_knows_are_mapped_or_dropped() -> None:
    url = normalise_url(
        "postgresql+asyncpg://db/deals?ssl=require&timeout=2.5&prepared_statement_cache_size=0&"
        "command_timeout=9&target_session_attrs=read-write"
    )
    assert dict(url.query) == {
        "sslmode": "require",
        "connect_timeout": "3",
        "target_session_attrs": "read-write",
    }


@pytest.mark.parametrize(("ssl", "mode"), [("true", "require"), ("False", "disable"), ("verify-full",) * 2])
def test_asyncpg_s_ssl_is_libpq_s_sslmode(ssl: str, mode: str) -> None:
    assert normalise_url(f"postgresql+asyncpg://db/deals?ssl={ssl}").query["sslmode"] == mode


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("postgresql+asyncpg://app:one@db/deals", "postgresql://app:two@DB:5432/deals?sslmode=require"),
        ("postgresql://app@localhost/deals", "postgres://app@127.0.0.1:5432/deals"),
        ("postgresql://app@[::1]/deals", "postgresql://app@localhost/deals"),
        ("postgresql://app@/app", "postgresql://app@"),
        ("postgresql://app@/deals?host=/run/pg", "postgresql+psycopg2://app@/deals?host=/run/pg/&port=5432"),
        ("postgresql://app@/deals?host=a:1&host=b:2", "postgresql://app@/deals?host=a,b&port=1,2"),
        ("sqlite:////tmp/x/../golive.db", "sqlite+aiosqlite:////tmp/golive.db"),
        ("sqlite:////tmp/golive.db", "sqlite:///file:/tmp/golive.db?uri=true"),
    ],
)
def test_one_database_is_recognised_under_many_urls(a: str, b: str) -> None:
    assert same_database(make_url(a), make_url(b))
    assert same_database(make_url(b), make_url(a))
    assert store_key(make_url(a)) == store_key(make_url(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("postgresql://app@db/deals", "postgresql://app@db/other"),
        ("postgresql://app@db/deals", "postgresql://app@db:5433/deals"),
        ("postgresql://app@db/deals", "postgresql://app@db2/deals"),
        ("postgresql://app@/deals", "postgresql://app@localhost/deals"),  # a socket may be another server's
        ("postgresql://app@/deals?service=a", "postgresql://app@/deals?service=b"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/b.db"),
        ("sqlite:////tmp/a.db", "postgresql://app@db/a.db"),
    ],
)
def test_what_may_be_another_database_counts_as_another(a: str, b: str) -> None:
    assert not same_database(make_url(a), make_url(b))
    assert store_key(make_url(a)) != store_key(make_url(b))


def test_a_database_that_cannot_be_a_store_is_no_store(tmp_path: Path) -> None:
    memory, mysql = make_url("sqlite://"), make_url("mysql://app@db/deals")
    assert not same_database(memory, memory)
    assert not same_database(mysql, mysql)


def test_another_user_is_not_trusted_to_write_events_but_shares_the_spool() -> None:
    a, b = make_url("postgresql://app@db/deals"), make_url("postgresql://golive@db/deals")
    assert not same_database(a, b)
    assert store_key(a) == store_key(b)


def test_a_link_to_the_file_is_the_file(tmp_path: Path) -> None:
    target, link, hard = tmp_path / "golive.db", tmp_path / "link.db", tmp_path / "hard.db"
    target.touch()
    link.symlink_to(target)
    os.link(target, hard)
    for other in (link, hard):
        assert same_database(make_url(f"sqlite:///{target}"), make_url(f"sqlite:///{other}"))


def test_a_store_key_is_twelve_stable_digits() -> None:
    key = store_key(make_url("postgresql://app:secret@db/deals"))
    assert key == store_key(make_url("postgresql+asyncpg://app@db:5432/deals")) == "313323d4545e"
    assert key != store_key(make_url("postgresql://app@db/deals?options=-csearch_path%3Dtenant"))


def test_a_store_engine_on_sqlite_waits_for_others_and_logs_ahead(tmp_path: Path) -> None:
    engine = database.create_store_engine(normalise_url(f"sqlite:///{tmp_path / 'golive.db'}"))
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000}


def test_a_store_engine_on_postgresql_shows_its_name(postgres_url: str) -> None:
    engine = database.create_store_engine(normalise_url(postgres_url))
    with engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_setting('application_name')").scalar()
    engine.dispose()
    assert name == "golive"


def test_upgrading_makes_the_folders_of_the_file(tmp_path: Path) -> None:
    url = normalise_url(f"sqlite:///{tmp_path / 'a' / 'b' / 'golive.db'}")
    database.upgrade(url)
    assert (tmp_path / "a" / "b" / "golive.db").is_file()


def test_importing_the_module_does_not_load_alembic() -> None:
    program = "import sys, golive.database; assert not [m for m in sys.modules if m.startswith('alembic')]"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"PYTHONPATH": _path()})


def _path() -> str:
    root = Path(__file__).parents[2]
    return os.pathsep.join(str(root / part) for part in ("sdk", "exporters", "api"))
