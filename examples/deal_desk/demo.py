"""`make demo`: run the deal desk for a while, then show what golive knows about it.

python -m examples.deal_desk.demo                     # the desk and its driver
python -m examples.deal_desk.demo --log events.csv.gz # an event log in their place
"""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import httpx
from examples.deal_desk.driver import ACCEPTED, DECLINED, DENIED, Driver, Key, expected_rows
from examples.deal_desk.operator import prepare
from examples.deal_desk.service import DECLINE_FEE, DESK
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import create_engine, func, select, text

from golive import governance
from golive.models import RiskLedgerDay

DEALS_A_SECOND = 30
PORT = 8000

console = Console()


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 if the rows are exactly those the driver knows to be true."""
    options = _options(arguments)
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    url = f"sqlite:///{(options.folder / 'golive.db').resolve()}"
    # For this process, the service and the commands below: a spool of the demo's own.
    os.environ["GOLIVE_SPOOL_DIR"] = str((options.folder / "spool").resolve())
    os.environ.pop("GOLIVE_EVENTS_URL", None)  # where the events of something real may be
    golive("db", "upgrade", url=url)
    if options.log:
        code = replay(options.log, url)
    else:
        code = deal(options.deals or round(options.seconds * DEALS_A_SECOND), options.seconds, url)
    if code == 0 and (options.serve or (sys.stdin.isatty() and sys.stdout.isatty())):
        serve(url)
    if code == 0:
        console.print("\nThe control-plane page at http://localhost:8000/: [bold]make demo SERVE=1[/], or")
        console.print(f"  golive serve --database-url {url}", soft_wrap=True)
    return code


def deal(deals: int, seconds: float, url: str) -> int:
    """Send deals to the desk, show what was recorded, and hold it against what the driver knows."""
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": "deal-driver"})))
    prepare(url)
    with service(url) as address:
        driver = Driver(address)
        columns = (TextColumn("sending deals"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("", total=deals)
            asyncio.run(driver.run(deals, seconds, lambda: progress.advance(bar)))
    # The service has ended by SIGTERM, and everything it recorded is in the store.

    golive("kpi", "summary", url=url)
    shown = next((deal for deal, outcome in driver.deals.items() if outcome == ACCEPTED), "deal_1")
    golive("kpi", "correlation", shown, url=url)
    golive("review", url=url)

    table = Table("what became of the deals", "deals", title=f"{driver.outcomes.total()} deals were sent")
    for outcome, count in driver.outcomes.most_common():
        table.add_row(outcome, f"{count:,}")
    console.print(table)
    return check(expected_rows(driver.outcomes), stored_rows(url)) or check_risk(driver.outcomes, url)


def serve(url: str) -> NoReturn:
    """Become the service of the control-plane page on what was recorded; reading it needs no token."""
    port = PORT if _is_free(PORT) else _free_port()
    console.print(f"\n[bold]The control-plane page: http://localhost:{port}/[/]  (Ctrl-C ends it)")
    console.print("Everybody on this machine may read it. To act, sign in with this token:")
    sys.stdout.flush()
    command = [sys.executable, "-c", "from golive.cli import main; main()", "serve", "--port", str(port)]
    environment = {**os.environ, "GOLIVE_ANONYMOUS": "runbook,metrics,read"}
    os.execve(sys.executable, [*command, "--database-url", url], environment)  # noqa: S606 - our own words


def replay(log: Path, url: str) -> int:
    """Replay an event log through the helpers, and show what was recorded."""
    golive("replay", str(log), "--speed", "max", url=url, may_reject=True)
    golive("kpi", "summary", url=url)
    engine = create_engine(url)
    with engine.connect() as connection:
        busiest = connection.scalar(
            text(
                "SELECT correlation_id FROM kpi_event WHERE correlation_id IS NOT NULL "
                "GROUP BY correlation_id ORDER BY count(*) BETWEEN 8 AND 20 DESC, min(created_at) LIMIT 1"
            )
        )
    engine.dispose()
    if busiest is not None:
        golive("kpi", "correlation", busiest, url=url)
    return 0


def check(expected: dict[Key, int], stored: dict[Key, int]) -> int:
    """Print whether the rows are exactly the true ones; return an exit code."""
    wrong = {key for key in expected.keys() | stored.keys() if expected.get(key, 0) != stored.get(key, 0)}
    for domain, metric, success in sorted(wrong, key=str):
        found, true = stored.get((domain, metric, success), 0), expected.get((domain, metric, success), 0)
        console.print(f"[red]{domain}.{metric} success={success}: {found} rows, {true} are true")
    if wrong:
        return 1
    console.print(f"[green]truth check: {sum(stored.values()):,} rows, every one true and none missing")
    return 0


def check_risk(outcomes: Counter[str], url: str) -> int:
    """Print whether the guard's ledger is that of the deals that were made; return an exit code."""
    day = RiskLedgerDay
    totals = (func.sum(column) for column in (day.actions_count, day.denials, day.realized_loss))
    still_open = func.sum(day.open_risk_reserved).filter(day.is_current)
    with governance.reading(url) as connection:
        row = connection.execute(select(*totals, still_open).where(day.engine == DESK)).one()
    found = tuple(row)
    made, declined = outcomes[ACCEPTED] + outcomes[DECLINED], outcomes[DECLINED]
    true = (made, outcomes[DENIED], declined * DECLINE_FEE, Decimal(0))
    if found != true:
        console.print(f"[red]risk check: actions, denials, loss and open risk are {found}, {true} is true")
        return 1
    console.print(
        f"[green]risk check: {found[0]:,} actions, {found[1]:,} denials, every loss booked, none open"
    )
    return 0


def stored_rows(url: str) -> dict[Key, int]:
    """Return how many rows of each kind there are."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT domain, metric, success, count(*) FROM kpi_event GROUP BY domain, metric, success")
        )
        rows = {
            (domain, metric, None if success is None else bool(success)): count
            for domain, metric, success, count in found
        }
    engine.dispose()
    return rows


@contextmanager
def service(url: str) -> Iterator[str]:
    """Run the deal desk in a process of its own; yield its address, and end it by SIGTERM."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "examples.deal_desk.service:create_app"]
    process = subprocess.Popen(  # noqa: S603 - our own words, and no shell
        [*command, "--port", str(port), "--log-level", "warning"], env={**os.environ, "DATABASE_URL": url}
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(process, address)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as asking:
        return asking.connect_ex(("127.0.0.1", port)) != 0


def golive(*command: str, url: str, may_reject: bool = False) -> None:
    """Run a `golive` command, and show it; end with its exit code if it fails."""
    console.print(f"\n[bold]$ golive {' '.join(command)}")
    run = [sys.executable, "-c", "from golive.cli import main; main()", *command, "--database-url", url]
    code = subprocess.run(run, check=False).returncode  # noqa: S603 - our own words, and no shell
    if code and not (code == 1 and may_reject):
        raise SystemExit(code)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{address}/openapi.json", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the deal desk did not start")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log", type=Path, help="replay this event log (CSV, CSV.gz or JSON Lines)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to send deals")
    parser.add_argument("--deals", type=int, help=f"how many deals to send ({DEALS_A_SECOND} a second)")
    parser.add_argument(
        "--folder", type=Path, default=Path(".demo"), help="emptied first; holds the database"
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve the page at the end, as is done from a terminal anyway"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
