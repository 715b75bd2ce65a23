"""PostgreSQL gives no connection any more: the service says no, loses nothing, and needs no restart after (E4, E6)."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from golive import go_live
from tests.faults import promises
from tests.faults.machine import Machine
from tests.support.risk import actions, change
from tests.support.service import golive_serve, token, wait_until

API = "/api/governance"
ASKED = 3
"""How often each door is knocked at, so that either worker answers."""


@pytest.fixture
def role(postgres_store: str) -> Iterator[str]:
    """A role of the database's that is no superuser, whose connections can be counted."""
    name = f"app_{os.getpid()}"
    statements = (
        f"CREATE ROLE {name} LOGIN",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}",
    )
    with psycopg.connect(postgres_store, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield name
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


@contextmanager
def exhausted(url: str, role: str) -> Iterator[None]:
    """Let a role have no connection; those it has are ended."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role]
        )
        yield
        connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1".encode())


def test_without_a_connection_every_door_is_closed_and_opens_by_itself(
    postgres_store: str, role: str, tmp_path: Path
) -> None:
    through = make_url(postgres_store).set(username=role).render_as_string(hide_password=False)
    machine = Machine(
        tmp_path,
        through,
        {"ENV": "production", "GO_LIVE_ENFORCE": "1", "GOLIVE_DATABASE_DEADLINE_SECONDS": "0.5"},
    )
    change(postgres_store, "WHOLESALE", enabled=True)
    headers = token(postgres_store, "read", "ingest", "operate")
    told: dict[str, str] = {}
    seen: Counter[tuple[str, int]] = Counter()
    numbers = itertools.count()
    with golive_serve(tmp_path, machine.environment(), "--workers", "2") as (url, process, _printed):
        # A connection for each request, so that now one worker answers and now the other.
        client = httpx.Client(
            base_url=url, headers=headers, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        )

        def knock(door: str, method: str = "GET", json: object = None) -> httpx.Response:
            answer = client.request(method, door, json=json)
            seen[door, answer.status_code] += 1
            return answer

        def emit() -> None:
            number = str(next(numbers))
            event = {"domain": "DEAL", "metric": "made", "success": True, "correlation_id": number}
            if knock(f"{API}/regression/kpi", "POST", event).is_success:
                told[number] = ""

        def book() -> None:
            body = {"engine": "WHOLESALE", "amount": "1.00", "idempotency_key": f"key-{next(numbers)}"}
            knock(f"{API}/risk/check-and-reserve", "POST", body)

        def engage() -> None:
            knock(f"{API}/go-live/kill-switch/engage", "POST", {"reason": "now"})

        def look() -> None:
            for door in (f"{API}/runbook/gate", "/readyz", "/livez", "/metrics"):
                knock(door)

        for each in (emit, book, look) * ASKED:
            each()
        assert {status for _, status in seen} <= {200, 201, 202}, seen
        seen.clear()
        with exhausted(postgres_store, role):
            # What was found a moment before is no stale answer; each worker has its own.
            for door in (f"{API}/runbook/gate", "/readyz"):
                wait_until(lambda door=door: all(knock(door).status_code != 200 for _ in range(2 * ASKED)))
            seen.clear()
            for each in (emit, book, engage, look) * ASKED:
                each()
            status = client.get(f"{API}/runbook/status")
            during = Counter(seen)
        assert status.status_code == 503 or not status.json()["ok_to_enable_go_live"]
        doors: dict[str, set[int]] = {}
        for door, code in during:
            doors.setdefault(door, set()).add(code)
        assert doors[f"{API}/risk/check-and-reserve"] == {503}
        assert doors[f"{API}/go-live/kill-switch/engage"] == {503}
        # A worker that has not seen the token before cannot know whose it is.
        assert doors[f"{API}/runbook/gate"] <= {412, 503}
        assert doors["/readyz"] == {503}
        assert doors["/livez"] == {200}
        assert doors["/metrics"] <= {200, 503}
        assert doors[f"{API}/regression/kpi"] <= {200, 201, 202, 503}
        wait_until(lambda: all(knock(f"{API}/runbook/gate").status_code == 200 for _ in range(ASKED)))
        wait_until(lambda: all(knock("/readyz").status_code == 200 for _ in range(ASKED)))
        booked = len(actions(postgres_store))
        for each in (emit, book, engage) * ASKED:
            each()
        assert process.poll() is None
        assert len(actions(postgres_store)) == booked + ASKED == 2 * ASKED
    assert go_live.read(postgres_store).kill_switch_engaged
    promises.the_spool_is_empty(machine)
    promises.every_acknowledged_event_is_a_row(machine.rows(), told)
    promises.no_event_is_there_twice(machine.rows())
    promises.counters_equal_rows(machine)
    promises.the_audit_chain_is_whole(postgres_store)
