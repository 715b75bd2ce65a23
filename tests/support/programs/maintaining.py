"""Forks children that maintain the store, and kills each at a random moment.

    maintaining.py LIVES SEED FROM UNTIL

They live through the time between two moments a month at a time: once one has come to its end, the next is a
month later. Prints, as JSON, how many of them were killed, failed, were refused, found it busy, and came to their
end.
"""

import datetime as dt
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter

from golive import database, settings
from golive.errors import GoliveError
from golive.maintenance.maintaining import maintain

MONTH = dt.timedelta(days=30)


def maintain_once(now: dt.datetime) -> None:
    url = database.normalise_url(os.environ[settings.DATABASE_URL])
    partition = url.get_backend_name() != "sqlite"
    done = maintain(url, retention_days=60, partition=partition, now=now)
    os._exit(3 if done.busy else 0)


def live_once(now: dt.datetime, lifetime_s: float) -> str:
    child = os.fork()
    if child == 0:
        try:
            maintain_once(now)
        except GoliveError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(4)
        except BaseException:
            traceback.print_exc()
            os._exit(5)
    deadline = time.monotonic() + lifetime_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return {0: "ended", 3: "busy", 4: "refused", 5: "failed"}[os.waitstatus_to_exitcode(status)]
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed"


if __name__ == "__main__":
    chance = random.Random(sys.argv[2])
    now, until = map(dt.datetime.fromisoformat, sys.argv[3:5])
    ends: Counter[str] = Counter()
    for _ in range(int(sys.argv[1])):
        end = live_once(now, chance.choice([0.05, 0.2, 1.0, 3.0, 6.0]) * chance.random())
        ends[end] += 1
        if end == "ended":
            now = min(now + MONTH, until)
    print(json.dumps(ends))
