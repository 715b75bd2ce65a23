"""A short run of random faults, which is what `make chaos` does for half an hour; and that it finds what is broken."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.faults import fleet
from tests.faults.machine import ROOT, Machine
from tests.faults.world import SETTINGS, furnish
from tests.support.service import wait_until

BOOKED_TOO_MUCH = """
    CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.exposure_used = NEW.exposure_used + 1000000; RETURN NEW; END $$;
    CREATE TRIGGER too_much BEFORE UPDATE ON risk_ledger_day FOR EACH ROW EXECUTE FUNCTION too_much()
"""


def test_no_promise_is_broken_by_random_faults(tmp_path: Path) -> None:
    environment = os.environ | {"CHAOS_SEED": "8", "CHAOS_SECONDS": "20", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.chaos"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_booking_beyond_its_cap_is_no_outage_and_ends_the_run(postgres_url: str, tmp_path: Path) -> None:
    furnish(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(BOOKED_TOO_MUCH)
    machine = Machine(tmp_path, postgres_url, SETTINGS)
    with fleet.running(machine, seed=1, roles={"book": 1}) as bookers:
        wait_until((tmp_path / "crashed").exists, 30)
        with pytest.raises(AssertionError, match="a cap is exceeded"):
            bookers.pause(30)
