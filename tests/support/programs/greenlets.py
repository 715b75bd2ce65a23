"""Emits from greenlets of a process whose standard library gevent has patched."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402

from golive import pipeline  # noqa: E402
from golive.kpi import kpi_success, kpi_timed_step  # noqa: E402


def emit(who: int, count: int) -> None:
    for number in range(count):
        kpi_success(None, "GEVENT", "event", correlation_id=f"{who}-{number}")
        print(f"{who}-{number}")
        with kpi_timed_step(None, "GEVENT", "step", correlation_id=f"{who}-{number}-step"):
            gevent.sleep(0.001)
        print(f"{who}-{number}-step")


def work(first: int, count: int) -> None:
    gevent.joinall([gevent.spawn(emit, who, count) for who in range(first, first + 10)], raise_error=True)


if __name__ == "__main__":
    work(0, int(sys.argv[1]))
    assert pipeline.flush(30)
    work(10, int(sys.argv[1]))
