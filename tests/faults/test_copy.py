"""PostgreSQL ends in the middle of a `COPY`: what was under way is there once when it is back (E4, E5)."""

from pathlib import Path

from tests.faults import promises
from tests.faults.driving import flush
from tests.faults.injectors import database_away_in_a_copy
from tests.faults.machine import Machine
from tests.support.cli import COMMAND
from tests.support.postgres import PostgresServer

MANY = 20_000


def test_events_under_way_are_rows_once_after_a_restart(
    postgres_machine: Machine, postgres_server: PostgresServer
) -> None:
    with postgres_machine.started("outage.py") as process:
        assert process.stdin is not None
        process.stdin.write(f"emit {MANY}\n")
        process.stdin.flush()
        with database_away_in_a_copy(postgres_server, postgres_machine.database_url):
            assert process.stdout is not None
            assert process.stdout.readline() == f"{MANY}\n"
        assert flush(process, 60)[0]
        process.communicate(timeout=30)
    rows = postgres_machine.rows()
    assert [row.correlation_id for row in rows if row.metric == "event"] == [f"{n:09}" for n in range(MANY)]
    promises.counters_equal_rows(postgres_machine)
    promises.the_spool_is_empty(postgres_machine)


def test_an_import_says_so_in_a_line_and_the_next_run_adds_the_rest(
    postgres_machine: Machine, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    lines = (f"{number},W,sent,true,,,2026-01-01,\n" for number in range(MANY))
    log.write_text("correlation_id,domain,metric,success,value,actor,occurred_at,detail\n" + "".join(lines))
    with postgres_machine.started(*COMMAND, "import", log) as process:
        with database_away_in_a_copy(postgres_server, postgres_machine.database_url):
            _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, -6, -11)
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3
    done = postgres_machine.run(*COMMAND, "import", log)
    assert f"{MANY:,} events written, 0 there already" in done.stdout
    assert sorted(int(row.correlation_id or -1) for row in postgres_machine.rows()) == list(range(MANY))
