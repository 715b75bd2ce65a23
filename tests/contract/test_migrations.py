"""Migrations make what the models say, and adopt what an application already has."""

import asyncio
import datetime as dt
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from golive import database
from golive.errors import GoliveError, SchemaError
from golive.migrations import waiting
from golive.models import (
    Base,
    GoLiveState,
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
    KpiEventRow,
    RegressionPolicy,
    RegressionState,
    RiskEvent,
    RiskLedgerDay,
    RiskPolicy,
    RiskReservation,
)
from tests.support import seed_tables

ROOT = Path(__file__).parents[2]
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
ONLY_POSTGRESQL = {"ix_kpi_event_created_at"}


@pytest.fixture
def url(store_url: str) -> URL:
    return database.normalise_url(store_url)


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = database.create_store_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def adopted(url: URL, engine: Engine) -> Engine:
    """A database that had the application's own tables, after the upgrade."""
    with engine.begin() as connection:
        seed_tables.make(connection)
    database.upgrade(url)
    return engine


def _schema(engine: Engine) -> dict[str, Any]:
    inspector = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted(found["column_names"] for found in inspector.get_unique_constraints(table)),
            "indexes": sorted((str(i["name"]), i["column_names"]) for i in inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
    }


def _differences(engine: Engine) -> list[Any]:
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, type_, _: type_ != "table" or name in Base.metadata.tables,
                "include_object": lambda _item, name, *_: name not in ONLY_POSTGRESQL or not sqlite,
            },
        )
        return list(compare_metadata(context, Base.metadata))


def _environment(url: URL) -> dict[str, str]:
    path = os.pathsep.join([*(str(ROOT / part) for part in ("sdk", "exporters", "api")), str(ROOT)])
    return {**os.environ, "DATABASE_URL": url.render_as_string(False), "PYTHONPATH": path}


def test_migrations_make_what_the_models_say(url: URL, engine: Engine) -> None:
    database.upgrade(url)
    assert _differences(engine) == []


def test_the_alembic_command_makes_the_same_schema(url: URL, engine: Engine, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env=_environment(url), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0001" in done.stderr
    by_command = _schema(engine)
    database.upgrade(url)
    assert _schema(engine) == by_command
    if url.get_backend_name() == "sqlite":
        other = database.normalise_url(f"sqlite:///{tmp_path / 'other.db'}")
        database.upgrade(other)
        other_engine = create_engine(other)
        assert _schema(other_engine) == by_command
        other_engine.dispose()


def test_the_known_head_is_the_newest_revision() -> None:
    scripts = ScriptDirectory(str(ROOT / "sdk/golive/migrations"))
    assert scripts.get_current_head() == database.HEAD


def test_seed_rows_are_those_of_the_design(url: URL, engine: Engine) -> None:
    database.upgrade(url)
    with Session(engine) as session:
        risk: dict[str, tuple[Any, ...]] = {
            policy.engine: (
                policy.enabled,
                policy.max_daily_loss,
                policy.max_daily_exposure,
                policy.max_open_risk,
                policy.max_actions_per_day,
                policy.throttle,
            )
            for policy in session.scalars(select(RiskPolicy))
        }
        assert risk == {
            "GLOBAL": (True, 250, 1500, None, 1000, 1),
            "WHOLESALE": (True, 200, 1000, 500, 500, 1),
            "CAPITAL": (True, 150, 750, 300, 250, 1),
            "NOTIFY": (False, 0, 0, None, 0, 1),
        }
        charter = {
            policy.domain: (
                policy.min_confidence_prod,
                policy.min_sandbox_trials,
                policy.min_sandbox_success_rate,
                policy.prod_use_enabled,
            )
            for policy in session.scalars(select(HeimdallPolicy))
        }
        assert charter == {
            "WHOLESALE_OFFER": (0.92, 75, 0.82, False),
            "BUYER_MATCH": (0.90, 50, 0.80, False),
            "CAPITAL_ROUTE": (0.95, 100, 0.85, False),
            "FOLLOWUP_NEXT_ACTION": (0.90, 60, 0.80, False),
        }
        tripwires = {
            (policy.domain, policy.metric): (policy.max_drop_fraction, policy.action)
            for policy in session.scalars(select(RegressionPolicy))
            if (policy.window_events, policy.baseline_events, policy.min_events_to_enforce) == (50, 200, 50)
            and (policy.mode, policy.enabled) == ("threshold", False)
        }
        assert tripwires == {
            ("WHOLESALE", "contract_rate"): (0.20, "THROTTLE"),
            ("WHOLESALE", "offer_accept_rate"): (0.15, "THROTTLE"),
            ("BUYER_MATCH", "match_success"): (0.25, "THROTTLE"),
            ("CAPITAL", "roi_event"): (0.30, "KILL_SWITCH"),
        }
        assert session.scalars(select(GoLiveState)).one().go_live_enabled is False


def test_adoption_keeps_every_row(url: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        seed_tables.make(connection)
        before = seed_tables.counts(connection)
    database.upgrade(url)
    with engine.connect() as connection:
        after = seed_tables.counts(connection)
    seeded = {"risk_policy": 3, "heimdall_policy": 3, "regression_policy": 3}
    assert after == {name: count + seeded.get(name, 0) for name, count in before.items()}


def test_adopted_events_keep_their_ids_details_and_instants(adopted: Engine) -> None:
    with Session(adopted) as session:
        events = session.scalars(select(KpiEventRow).order_by(KpiEventRow.created_at)).all()
    start = seed_tables.WHEN.replace(tzinfo=dt.UTC)
    assert [event.id for event in events] == list(seed_tables.DETAILS)
    assert [event.created_at - start for event in events] == [
        dt.timedelta(minutes=id_) for id_ in seed_tables.DETAILS
    ]
    for event in events:
        assert event.detail == seed_tables.DETAILS[event.id][1]
        assert event.success is (True, False, None)[event.id % 3]
        assert event.correlation_id == f"deal_{event.id}"


def test_adopted_settings_are_not_touched(adopted: Engine) -> None:
    with Session(adopted) as session:
        state = session.scalars(select(GoLiveState)).one()
        assert (state.go_live_enabled, state.changed_by, state.version) == (True, "bryan", 1)
        policy = session.scalars(select(RiskPolicy).where(RiskPolicy.engine == "GLOBAL")).one()
        assert (policy.max_daily_loss, policy.max_daily_exposure) == (Decimal("99.10"), Decimal("1234.56"))
        assert (policy.max_open_risk, policy.max_actions_per_day) == (None, 7)
        assert (policy.throttle, policy.reason) == (1.0, "tightened")
        assert policy.updated_at == seed_tables.WHEN.replace(tzinfo=dt.UTC)
        tripwire = session.scalars(
            select(RegressionPolicy).where(RegressionPolicy.metric == "contract_rate")
        ).one()
        assert (tripwire.max_drop_fraction, tripwire.enabled, tripwire.mode) == (0.1, True, "threshold")
        charter = session.scalars(select(HeimdallPolicy).where(HeimdallPolicy.domain == "BUYER_MATCH")).one()
        assert (charter.min_confidence_prod, charter.prod_use_enabled) == (0.99, True)
        latched = session.scalars(select(RegressionState)).one()
        assert (latched.triggered, latched.drop_fraction, latched.note) == (True, 0.211, "TRIGGERED")


def test_adopted_money_is_exact_and_text_becomes_json(adopted: Engine) -> None:
    with Session(adopted) as session:
        ledger = session.scalars(select(RiskLedgerDay)).one()
        assert (ledger.exposure_used, ledger.realized_loss) == (Decimal("0.30"), Decimal("0.07"))
        event = session.scalars(select(RiskEvent)).one()
        assert (event.amount, event.metadata_json) == (Decimal("19.99"), {"deal": 123})
        assert session.scalars(select(HeimdallRecommendation)).one().recommendation_json == {"buyer": 7}
        assert session.scalars(select(HeimdallEvent)).one().detail == "won"


def test_adopted_tables_take_golive_s_rows(adopted: Engine) -> None:
    """Also where an old column golive does not know was required, and where sequences lagged behind."""
    now = dt.datetime.now(dt.UTC)
    long = "x" * 128
    with Session(adopted) as session:
        session.add_all(
            [
                KpiEventRow(
                    id=2**62,
                    domain="D" * 32,
                    metric="m",
                    correlation_id=long,
                    detail="y" * 5000,
                    created_at=now,
                ),
                HeimdallScorecardDay(day=now.date(), domain="CAPITAL_ROUTE", trials=1),
                RiskEvent(engine="E" * 32, action="RESERVE", amount=Decimal("0.01")),
                RiskReservation(engine="WHOLESALE", day=now.date(), amount=Decimal(1), idempotency_key="k"),
                RegressionState(domain="CAPITAL", metric="roi_event"),
                RiskLedgerDay(day=now.date(), engine="CAPITAL"),
            ]
        )
        session.commit()
        assert session.scalars(select(RiskEvent.id).order_by(RiskEvent.id)).all() == [41, 42]
        assert session.get_one(KpiEventRow, 2**62).detail == "y" * 5000


def test_an_unknown_old_column_keeps_its_values(adopted: Engine) -> None:
    with adopted.connect() as connection:
        rates = connection.execute(text("SELECT success_rate FROM heimdall_scorecard_day")).scalars().all()
    assert rates == [0.75]


def test_adopted_tables_are_what_the_models_say(adopted: Engine) -> None:
    """What is left are the old columns and wider types, and names the application chose."""
    left = [difference for difference in _differences(adopted) if isinstance(difference, tuple)]
    kinds = {difference[0] for difference in left}
    assert kinds <= {"remove_column", "add_constraint", "remove_constraint", "add_index", "remove_index"}
    assert [d[3].name for d in left if d[0] == "remove_column"] == ["success_rate"]
    indexes = {tuple(i["column_names"]) for i in inspect(adopted).get_indexes("kpi_event")}
    by_time = {("created_at",)} if adopted.dialect.name == "postgresql" else set()
    assert indexes == {("domain", "metric", "created_at", "id"), ("correlation_id",)} | by_time
    unique = inspect(adopted).get_indexes("risk_ledger_day") + [
        dict(found) for found in inspect(adopted).get_unique_constraints("risk_ledger_day")
    ]
    assert ["day", "engine"] in [found["column_names"] for found in unique]


def test_the_application_s_own_revision_is_left_alone(adopted: Engine) -> None:
    with adopted.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    assert found == [seed_tables.OLD_REVISION]


def test_views_triggers_and_indexes_of_an_adopted_sqlite_table_survive(sqlite_url: str) -> None:
    url = database.normalise_url(sqlite_url)
    engine = create_engine(url)
    with engine.begin() as connection:
        seed_tables.make(connection)
        connection.exec_driver_sql("CREATE VIEW successes AS SELECT id FROM kpi_event WHERE success")
        connection.exec_driver_sql("CREATE INDEX by_actor ON kpi_event (actor)")
        connection.exec_driver_sql("CREATE TABLE seen (id INTEGER REFERENCES kpi_event (id))")
        connection.exec_driver_sql(
            "CREATE TRIGGER note AFTER INSERT ON kpi_event BEGIN INSERT INTO seen VALUES (new.id); END"
        )
    database.upgrade(url)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM successes").scalar_one() == 5
        connection.exec_driver_sql(
            "INSERT INTO kpi_event (id, domain, metric, created_at) VALUES (99, 'A', 'b', '2026-01-01')"
        )
        assert connection.exec_driver_sql("SELECT id FROM seen").scalars().all() == [99]
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'seen'").scalar_one()
        assert "REFERENCES kpi_event" in sql
    assert "by_actor" in {index["name"] for index in inspect(engine).get_indexes("kpi_event")}
    engine.dispose()


def test_policies_without_a_numbered_id_are_adopted(url: URL, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE risk_policy (engine VARCHAR(20) PRIMARY KEY, enabled BOOLEAN NOT NULL, "
            "max_daily_loss NUMERIC(10, 4) NOT NULL)"
        )
        connection.exec_driver_sql("INSERT INTO risk_policy VALUES ('GLOBAL', true, 12.3400)")
        connection.exec_driver_sql(
            "CREATE TABLE regression_state (id INTEGER NOT NULL PRIMARY KEY, domain VARCHAR(8), metric TEXT)"
        )
        connection.exec_driver_sql("INSERT INTO regression_state VALUES (1, 'CAPITAL', 'roi_event')")
    database.upgrade(url)
    with Session(engine) as session:
        policies = {policy.engine: policy for policy in session.scalars(select(RiskPolicy))}
        assert policies["GLOBAL"].max_daily_loss == Decimal("12.34")
        assert len({policy.id for policy in policies.values()}) == 4
        session.add(RegressionState(domain="LONGER_THAN_8", metric="m"))
        session.commit()
        assert len(session.scalars(select(RegressionState)).all()) == 2


def test_tables_made_from_the_models_are_adopted_as_they_are(url: URL, engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(RiskEvent(engine="A", action="RESERVE", amount=Decimal("1.25"), metadata_json="123"))
        session.commit()
    database.upgrade(url)
    with Session(engine) as session:
        event = session.scalars(select(RiskEvent)).one()
        assert (event.amount, event.metadata_json) == (Decimal("1.25"), "123")
    assert _differences(engine) == []


def test_upgrading_twice_changes_nothing(adopted: Engine) -> None:
    before = _schema(adopted)
    database.upgrade(adopted.url)
    assert _schema(adopted) == before
    with adopted.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM risk_policy")).scalar_one() == 4


def test_a_failed_migration_leaves_nothing_behind(url: URL, engine: Engine) -> None:
    """Two rows for one key cannot be adopted: nothing of the database may have changed."""
    with engine.begin() as connection:
        seed_tables.make(connection)
        connection.exec_driver_sql(
            "INSERT INTO risk_ledger_day SELECT 2, day, engine, exposure_used, open_risk_reserved, realized_loss, "
            "actions_count, updated_at FROM risk_ledger_day"
        )
    before = _schema(engine)
    with pytest.raises(DBAPIError):
        database.upgrade(url)
    assert _schema(engine) == before


@pytest.mark.faults
def test_an_upgrade_behind_a_long_transaction_keeps_no_writer_waiting_and_says_what_is_in_its_way(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_TRIES", 5)
    url = database.normalise_url(postgres_store)
    engine = create_engine(url, connect_args={"options": "-c lock_timeout=500"})
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_kpi_event_created_at")
    _set_version(engine, "0005")
    row = {"domain": "W", "metric": "m", "created_at": NOW}
    with ThreadPoolExecutor(1) as pool, Session(engine) as long:
        long.execute(insert(KpiEventRow).values(id=-1, **row))
        upgraded = pool.submit(database.upgrade, url)
        written = 0
        while not upgraded.done():
            with Session(engine) as db:
                db.execute(insert(KpiEventRow).values(id=written, **row))
                db.commit()
            written += 1
        with pytest.raises(GoliveError, match="kpi_event was in use"):
            upgraded.result()
        assert written > 0
        long.commit()
    database.upgrade(url)
    with engine.connect() as connection:
        database.check_schema(connection)
        assert "ix_kpi_event_created_at" in {
            index["name"] for index in inspect(connection).get_indexes("kpi_event")
        }
    engine.dispose()


def test_four_processes_may_upgrade_at_once(url: URL, engine: Engine) -> None:
    program = (
        "import sys, time; from golive import database; url = database.normalise_url(sys.argv[1]); "
        "time.sleep(max(0, float(sys.argv[2]) - time.time())); database.upgrade(url)"
    )
    start = str(time.time() + 1.5)
    command = [sys.executable, "-W", "error", "-c", program, url.render_as_string(False), start]
    processes = [
        subprocess.Popen(command, env=_environment(url), stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert (said, [process.returncode for process in processes]) == ([""] * 4, [0] * 4)
    with engine.connect() as connection:
        database.check_schema(connection)


def test_a_missing_schema_is_one_clear_error_and_the_transaction_goes_on(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        with pytest.raises(SchemaError, match="golive db upgrade"):
            database.check_schema(connection)
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.parametrize("version", ["0000", None])
def test_an_older_schema_is_an_error(url: URL, engine: Engine, version: str | None) -> None:
    database.upgrade(url)
    _set_version(engine, version)
    with engine.connect() as connection, pytest.raises(SchemaError, match="golive db upgrade"):
        database.check_schema(connection)


def test_a_newer_schema_is_fine_and_left_alone(url: URL, engine: Engine) -> None:
    """So that the old processes of a rolling deployment go on."""
    database.upgrade(url)
    _set_version(engine, "9999")
    database.upgrade(url)
    with engine.connect() as connection:
        database.check_schema(connection)


def test_upgrading_leaves_the_host_s_logging_alone(url: URL) -> None:
    root = logging.getLogger()
    ours = logging.getLogger("an.application")
    before = (root.level, list(root.handlers), ours.disabled, logging.getLogger("alembic").level)
    database.upgrade(url)
    assert (root.level, list(root.handlers), ours.disabled, logging.getLogger("alembic").level) == before


def test_the_store_s_url_serves_async_engines_too(store: str) -> None:
    driver = "sqlite+aiosqlite" if store.startswith("sqlite") else "postgresql+asyncpg"
    scheme, _, rest = store.partition("://")
    assert scheme in ("sqlite", "postgresql")

    async def count() -> int:
        engine = create_async_engine(f"{driver}://{rest}")
        async with engine.connect() as connection:
            found: int = (await connection.execute(text("SELECT count(*) FROM risk_policy"))).scalar_one()
        await engine.dispose()
        return found

    assert asyncio.run(count()) == 4


def _set_version(engine: Engine, version: str | None) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {database.VERSION_TABLE}")
        if version is not None:
            connection.exec_driver_sql(f"INSERT INTO {database.VERSION_TABLE} VALUES ('{version}')")
