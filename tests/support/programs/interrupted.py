"""Records events without a pause, while a signal handler that records as well interrupts it, again and again.

Usage: interrupted.py SECONDS; prints the id of every event.
"""

import random
import signal
import sys
import time
from types import FrameType

from golive.kpi import kpi_success

ids: list[int] = []


def handle(signum: int, frame: FrameType | None) -> None:
    ids.append(kpi_success(None, "SIGNAL", "recorded" if len(ids) % 2 else "handled"))
    interrupt_soon()  # only now, or a slow machine would do nothing but handle


def interrupt_soon() -> None:
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0002))


def main() -> None:
    ids.append(kpi_success(None, "SIGNAL", "first"))  # starts the pipeline, which no handler should meet
    signal.signal(signal.SIGALRM, handle)
    interrupt_soon()
    until = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until:
        ids.append(kpi_success(None, "SIGNAL", "recorded"))
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    print(*ids)


main()
