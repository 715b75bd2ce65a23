"""Forks while its own delivery writes, and lets each child deliver an event and look at the locks it has.

    forking_and_writing.py CHILDREN

Prints of each child the correlation id of its event, and whether it was `delivered` under a lock of its own.
"""

import os
import sys
import threading

from golive import pipeline
from golive.kpi import kpi_fail, kpi_success


def emit_for_ever(stopping: threading.Event) -> None:
    while not stopping.wait(0.001):
        kpi_fail(None, "PARENT", "noise")


def in_child(number: int) -> None:
    correlation_id = f"child-{number}"
    kpi_success(None, "CHILD", "sent", correlation_id=correlation_id)
    delivered = pipeline.flush(30)
    with open("/proc/locks") as locks:
        own = any(f" {os.getpid()} " in line and "POSIX" in line for line in locks)
    how = "delivered" if delivered and own else f"flushed:{delivered},locks:{own}"
    os.write(1, f"{correlation_id} {how}\n".encode())


if __name__ == "__main__":
    stopping = threading.Event()
    emitting = threading.Thread(target=emit_for_ever, args=(stopping,))
    emitting.start()
    for number in range(int(sys.argv[1])):
        if (child := os.fork()) == 0:
            try:
                in_child(number)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    stopping.set()
    emitting.join()
    pipeline.flush(30)
