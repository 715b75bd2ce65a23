"""A scrape sees the events of every worker, never fewer than before, whichever worker answers or dies (E2)."""

import signal
import sys
import threading
import time

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults import promises
from tests.faults.machine import Machine
from tests.faults.web import Load, gunicorn, serving
from tests.support.service import wait_until

UVICORN = [
    sys.executable,
    "-m",
    "uvicorn",
    "web:app",
    "--workers",
    "4",
    "--port",
    "PORT",
    "--log-level",
    "error",
]
SERVERS = {
    "uvicorn": UVICORN,
    "gunicorn": gunicorn("sync", 4),
    "gunicorn, preloaded": gunicorn("sync", 4, "--preload"),
    "gunicorn with uvicorn's workers": gunicorn("uvicorn", 4),
    "gunicorn with uvicorn's workers, preloaded": gunicorn("uvicorn", 4, "--preload"),
}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Samples:
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples) -> int:
    return int(sum(value for (name, _), value in samples.items() if name == "golive_kpi_events_total"))


class Scraper:
    """Scrapes all the time, and notes what ran backwards."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.backwards: list[str] = []
        self.scrapes = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Scraper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        last: Samples = {}
        while not self._stopping.wait(0.01):
            try:
                samples = scrape(self.url)
            except httpx.HTTPError:  # the worker that was to answer was killed
                continue
            self.scrapes += 1
            for series, value in last.items():
                name = series[0]
                if name.endswith(("_total", "_bucket", "_count", "_sum")) and samples.get(series, 0) < value:
                    self.backwards.append(f"{series}: {value} then {samples.get(series)}")
            last = samples


def first_worker(pid: int) -> psutil.Process:
    """Return a living worker; Python's own helper processes are none."""
    return next(
        child
        for child in psutil.Process(pid).children()
        if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
    )


@pytest.mark.parametrize(
    "server",
    list(SERVERS),
)
def test_the_scraped_total_is_that_of_all_workers_and_a_killed_one_takes_nothing_with_it(
    machine: Machine, server: str
) -> None:
    with serving(machine, *SERVERS[server], EMIT_AT_IMPORT="50") as (process, url):
        with Load(url) as load, Scraper(url) as scraper:
            wait_until(lambda: len(load.answered_by) >= 4, 30)
            for _ in range(4):
                time.sleep(0.3)
                first_worker(process.pid).kill()
            wait_until(lambda: scraper.scrapes > 20, 30)
        assert scraper.backwards == []
        wait_until(lambda: total(scrape(url)) == len(machine.rows()), 15)
        time.sleep(1)
        samples = scrape(url)
        rows = machine.rows()
        assert total(samples) == len(rows) > 200
        steps = sum(
            value for (name, _), value in samples.items() if name == "golive_kpi_step_duration_seconds_count"
        )
        assert steps == sum(row.metric == "step" for row in rows)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    machine.recover()
    promises.counters_equal_rows(machine)
