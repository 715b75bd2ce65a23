"""Two threads fork at once, while forking takes longer than golive waits for another one's end.

Usage: forking_at_once.py; prints whether an event recorded afterwards was delivered.
"""

import os
import threading
import time

# Registered before golive's hook, so that it runs behind it.
os.register_at_fork(before=lambda: time.sleep(1.5))

from golive import pipeline  # noqa: E402 - see above
from golive.kpi import kpi_success  # noqa: E402


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def main() -> None:
    kpi_success(None, "FORK", "before")
    pipeline.flush(20)
    threads = [threading.Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    kpi_success(None, "FORK", "after")
    print(pipeline.flush(10))


main()
