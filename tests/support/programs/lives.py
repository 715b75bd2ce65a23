"""Forks children that emit as fast as they can, and kills each at a random moment.

    lives.py FOLDER LIVES SEED

Every child writes a line to FOLDER/<pid> after each call that returned: the correlation id, and the event's
id where the helper gave one. Children are forked from here, because a fresh interpreter needs longer to
import than a child lives.
"""

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

# Imported before the forks, or every child would.
import golive._pipeline
import golive.exporters.sql  # noqa: F401
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value


def emit_for_ever(acknowledged: Path) -> None:
    with acknowledged.open("wb", buffering=0) as file:
        for number in itertools.count():
            correlation_id = f"{os.getpid()}-{number}"
            event_id: int | str = ""
            match number % 4:
                case 0:
                    event_id = kpi_success(None, "KILL", "success", correlation_id=correlation_id)
                case 1:
                    event_id = kpi_fail(None, "KILL", "failure", correlation_id=correlation_id)
                case 2:
                    event_id = kpi_value(None, "KILL", "value", number, correlation_id=correlation_id)
                case _:
                    with kpi_timed_step(None, "KILL", "step", correlation_id=correlation_id):
                        pass
            file.write(f"{correlation_id} {event_id}\n".encode())


def live_once(folder: Path, lifetime_s: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            emit_for_ever(folder / str(os.getpid()))
        finally:
            os._exit(1)
    acknowledged = folder / str(child)
    while not (acknowledged.exists() and acknowledged.stat().st_size):
        time.sleep(0.001)
    time.sleep(lifetime_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status


if __name__ == "__main__":
    chance = random.Random(sys.argv[3])
    for _ in range(int(sys.argv[2])):
        live_once(Path(sys.argv[1]), chance.uniform(0.0, 0.15))
