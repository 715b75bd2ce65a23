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
from tests.support.programs.emitting import emit_one


def emit_for_ever(acknowledged: Path) -> None:
    with acknowledged.open("wb", buffering=0) as file:
        for number in itertools.count():
            correlation_id = f"{os.getpid()}-{number}"
            event_id = emit_one("KILL", number, correlation_id)
            file.write(f"{correlation_id} {event_id or ''}\n".encode())


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
