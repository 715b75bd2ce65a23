"""What the risk guard costs on PostgreSQL: beside its own statements by bare psycopg, and under contention.

python -m bench.risk contend golive|counter|statements URL SECONDS    # one of the contending processes
"""

import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import psycopg
from bench._rounds import compare, per_call

from golive import database, pipeline
from golive.risk import GLOBAL, risk_reserve_or_raise, risk_settle, upsert_policy
from tests.support.postgres import PostgresServer

ENGINE = "WHOLESALE"
AMOUNT = Decimal("1.00")
PAIRS = 200
ROUNDS = 15
PROCESSES = 8
CONTEND_S = 4.0
CONTEND_ROUNDS = 5

COUNT = "UPDATE bench_counter SET used = used + 1 WHERE id = 1 AND used + 1 <= 2000000000"


def reserve_and_settle(url: str) -> None:
    made = risk_reserve_or_raise(url, ENGINE, AMOUNT)
    risk_settle(url, ENGINE, AMOUNT, 0, reservation_id=made.id)


def recorded(call: Callable[[], object]) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the statements of a call, as the driver gets them."""
    statements: list[tuple[bytes, dict[str, Any]]] = []

    def note(self: Any, statement: bytes, parameters: dict[str, Any]) -> Any:
        statements.append((statement, dict(parameters)))
        return self.cursor().execute(statement, parameters)

    with patch.object(psycopg.Connection, "execute", note):
        call()
    return statements


def replay(connection: psycopg.Connection[Any], statements: list[tuple[bytes, dict[str, Any]]]) -> None:
    """Execute the statements of a reserve and a settle again, for another reservation."""
    number = pipeline.next_id()
    for statement, parameters in statements:
        if "id" in parameters:
            parameters["id"] = number
        connection.execute(statement, parameters).fetchall()


def beside_bare_sql(url: str) -> str:
    reserve_and_settle(url)  # the first of a day begins it
    statements = recorded(lambda: reserve_and_settle(url))
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        result = compare(
            lambda: per_call(lambda: reserve_and_settle(url), PAIRS),
            lambda: per_call(lambda: replay(connection, statements), PAIRS),
            ROUNDS,
        )
    return (
        f"| risk reserve + settle, {len(statements)} statements | {result.ours * 1e3:.2f} ms "
        f"| the same statements by bare psycopg | {result.theirs * 1e3:.2f} ms "
        f"| {result.ratio:.2f} | at most 1.3 |"
    )


def contending(url: str, what: str) -> float:
    """Run several processes at once; return how many bookings a second they make together."""
    command = [sys.executable, "-m", "bench.risk", "contend", what, url, str(CONTEND_S)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:  # all have started, imported and connected
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes)


def under_contention(url: str, what: str, name: str, target: str) -> str:
    result = compare(lambda: 1 / contending(url, "golive"), lambda: 1 / contending(url, what), CONTEND_ROUNDS)
    return (
        f"| risk bookings, {PROCESSES} processes on one engine | {1 / result.ours:,.0f}/s "
        f"| {name} | {1 / result.theirs:,.0f}/s | {1 / result.ratio:.2f} | {target} |"
    )


def contend(what: str, url: str, seconds: float) -> None:
    """Book as often as possible for some seconds once told to go; print the rate."""
    connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
    statements = recorded(lambda: reserve_and_settle(url))

    def count() -> int:
        connection.execute(COUNT)
        return 1

    def book() -> int:
        reserve_and_settle(url)
        return 2

    def book_barely() -> int:
        replay(connection, statements)
        return 2

    work = {"golive": book, "counter": count, "statements": book_barely}[what]
    print("ready", flush=True)
    sys.stdin.readline()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        done += work()
    print(done / (time.perf_counter() - started))


def main(server: PostgresServer) -> list[str]:
    url = server.url()
    database.upgrade(database.normalise_url(url))
    for engine in (GLOBAL, ENGINE):
        upsert_policy(
            url,
            engine=engine,
            enabled=True,
            max_daily_loss=10**9,
            max_daily_exposure=10**9,
            max_open_risk=10**9,
            max_actions_per_day=10**9,
            actor="bench",
            reason="room for a benchmark",
        )
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_counter (id int PRIMARY KEY, used int NOT NULL)")
        connection.execute("INSERT INTO bench_counter VALUES (1, 0)")
        lines = [
            beside_bare_sql(url),
            under_contention(url, "counter", "one `UPDATE … WHERE` of a row counter", "at least 0.7"),
            under_contention(url, "statements", "the same statements by bare psycopg", ""),
        ]
        connection.execute("DROP TABLE bench_counter")
    return lines


if __name__ == "__main__":
    _, _, what, url, seconds = sys.argv
    contend(what, url, float(seconds))
