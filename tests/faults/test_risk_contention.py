"""Caps hold to the cent under many processes, some of them killed, over changes of the day; nobody deadlocks."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from sqlalchemy import Engine, create_engine

from golive import database
from golive.risk import GLOBAL, upsert_policy
from tests.faults.machine import PROGRAMS, ROOT
from tests.faults.promises import by_ledgers, ledgers_are_the_sum_of_their_events

CAPS = {
    GLOBAL: {"max_daily_exposure": 800, "max_open_risk": 90, "max_actions_per_day": 60},
    "WHOLESALE": {"max_daily_exposure": 500, "max_open_risk": 60, "max_actions_per_day": 40},
    "CAPITAL": {"max_daily_exposure": 400, "max_open_risk": 50, "max_actions_per_day": 35},
}
COLUMNS = {
    "max_daily_exposure": "exposure_used",
    "max_open_risk": "open_risk_reserved",
    "max_actions_per_day": "actions_count",
}


def watch(engine: Engine) -> None:
    """Have the database itself refuse every moment in which a cap is exceeded."""
    cents = 100 if engine.dialect.name == "sqlite" else 1
    wrong = " OR ".join(
        f"(NEW.engine = '{name}' AND (NEW.{COLUMNS[cap]} > "
        f"{limit * (1 if cap == 'max_actions_per_day' else cents)} OR NEW.{COLUMNS[cap]} < 0))"
        for name, caps in CAPS.items()
        for cap, limit in caps.items()
    )
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(
                f"CREATE TRIGGER cap BEFORE UPDATE ON risk_ledger_day WHEN {wrong} "
                "BEGIN SELECT RAISE(ABORT, 'a cap is exceeded'); END"
            )
        else:
            connection.exec_driver_sql(
                f"CREATE FUNCTION exceeded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {wrong} THEN "
                "RAISE EXCEPTION 'a cap is exceeded'; END IF; RETURN NEW; END $$"
            )
            # After the statement: what it has done when it finds it was overtaken is undone, and seen by nobody.
            connection.exec_driver_sql(
                "CREATE TRIGGER cap AFTER UPDATE ON risk_ledger_day FOR EACH ROW EXECUTE FUNCTION exceeded()"
            )


def contend(url: str, processes: int, seconds: float, kills: int) -> Counter[str]:
    """Run the workers, kill some of them and start others in their place; return what they did."""
    began, chosen = time.time(), random.Random(7)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GOLIVE_DATABASE_DEADLINE_SECONDS": "10"}

    def start(seed: int) -> "subprocess.Popen[str]":
        left = max(began + seconds - time.time(), 1.0) if seed >= 100 else seconds
        command = [sys.executable, str(PROGRAMS / "risk_worker.py"), url, str(seed), str(began), str(left)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    running = [start(seed) for seed in range(processes)]
    for number in range(kills):
        time.sleep(seconds * 0.8 / kills)
        victim = running.pop(chosen.randrange(len(running)))
        victim.kill()
        victim.communicate()
        running.append(start(100 + number))
    counts: Counter[str] = Counter()
    for process in running:
        out, err = process.communicate(timeout=seconds + 60)
        assert process.returncode == 0, err[-3000:]
        counts.update(json.loads(out))
    return counts


@pytest.mark.parametrize(
    ("kind", "processes", "seconds", "kills"),
    [
        pytest.param("postgresql", 4, 5, 2, id="PostgreSQL, 4 for 5 s"),
        pytest.param("postgresql", 8, 30, 10, id="PostgreSQL, 8 for 30 s"),
        pytest.param("sqlite", 4, 30, 10, id="SQLite, 4 for 30 s"),
    ],
)
def test_no_cap_is_exceeded_and_ledgers_are_the_sum_of_their_events(
    request: pytest.FixtureRequest, kind: str, processes: int, seconds: float, kills: int
) -> None:
    url = request.getfixturevalue("postgres_url" if kind == "postgresql" else "sqlite_url")
    database.upgrade(database.normalise_url(url))
    for name, caps in CAPS.items():
        values = {"max_daily_loss": 25, **caps}
        upsert_policy(url, engine=name, enabled=True, actor="test", reason="caps", **values)  # type: ignore[arg-type]
    engine = create_engine(database.normalise_url(url))
    watch(engine)
    counts = contend(url, processes, seconds, kills)
    ledgers_are_the_sum_of_their_events(engine)
    assert len({day for _, day in by_ledgers(engine)}) >= seconds // 2
    for what in ("reserved", "settled"):
        assert counts[what] > 10, counts
    assert sum(what.startswith("denied") for what in counts) > 0, counts
    engine.dispose()
