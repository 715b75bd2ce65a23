"""Emits into a spool that fills up, and says as JSON what came of it.

full.py emit COUNT       that many events
full.py overfill COUNT   until that many were dropped
full.py limit COUNT      the same, with files bounded to 64 KiB; then as many with no bound
full.py raise COUNT      fills the spool, then leaves steps and commits while it is full
full.py vanish COUNT     the spool folder is removed half way, and something waits for the log to say so
"""

import contextlib
import json
import os
import resource
import shutil
import sys
import time

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import pipeline
from golive.errors import SpoolFull
from golive.kpi import kpi_success, kpi_timed_step

said: dict[str, object] = {"returned": 0, "refused": 0, "longest_s": 0.0}


def emit(count: int) -> float:
    returned = refused = 0
    longest = 0.0
    for number in range(count):
        before = time.monotonic()
        try:
            kpi_success(None, "FULL", "event", correlation_id=f"{number:06}")
            returned += 1
        except SpoolFull:
            refused += 1
        longest = max(longest, time.monotonic() - before)
    said.update(returned=returned, refused=refused, longest_s=longest)
    return longest


def overfill(count: int) -> None:
    returned = 0
    longest = 0.0
    while sum(pipeline.account().discarded.values()) < count:
        longest = max(longest, emit(1))
        returned += 1
    said.update(returned=returned, longest_s=longest)


def leave_steps_and_commits() -> None:
    try:
        with kpi_timed_step(None, "FULL", "step"):
            raise LookupError("the business failed")
    except Exception as error:
        said["out of a failed step"] = type(error).__name__
    try:
        with kpi_timed_step(None, "FULL", "step"):
            pass
    except Exception as error:
        said["out of a step"] = type(error).__name__
    # A database that is not the event store: its events go to the spool right after the commit.
    engine = create_engine("sqlite://")
    with Session(engine) as session:
        session.execute(text("CREATE TABLE deal (id integer)"))
        session.execute(text("INSERT INTO deal VALUES (1)"))
        kpi_success(session, "FULL", "committed")
        session.commit()
        said["deals"] = session.scalar(text("SELECT count(*) FROM deal"))
    engine.dispose()


if __name__ == "__main__":
    how, count = sys.argv[1], int(sys.argv[2])
    if how == "limit":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
        emit(count)
        said["discarded while full"] = dict(pipeline.account().discarded)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        emit(count)
    elif how == "vanish":
        emit(count)
        shutil.rmtree(os.environ["GOLIVE_SPOOL_DIR"])
        emit(count)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(7)
        said["flushed"] = pipeline.flush(1)
    elif how == "overfill":
        overfill(count)
    else:
        emit(count)
        if how == "raise":
            leave_steps_and_commits()
    account = pipeline.account().snapshot()
    said["counted"] = sum(account.events.values())
    said["discarded"] = dict(account.discarded)
    said["waiting"] = pipeline.backlog()[0]
    print(json.dumps(said))
