"""Emits in a process and in its children, in the way it is told, and prints what was acknowledged.

forking.py WAY COUNT     WAY: fork, forkserver, spawn, pool, _exit, threads, counters, held
"""

import multiprocessing
import os
import sys
import threading
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import database, pipeline
from golive.kpi import kpi_success

CHILDREN = 4


def emit(who: str, count: int) -> None:
    for number in range(count):
        kpi_success(None, "FORK", "event", correlation_id=f"{who}-{number}")
        # One write each, for the output is everybody's.
        os.write(1, f"{who}-{number}\n".encode())


def emit_in_pool(task: tuple[str, int]) -> None:
    emit(*task)


def in_children(way: str, count: int) -> None:
    context: Any = multiprocessing.get_context(way)
    children = [context.Process(target=emit, args=(f"child{number}", count)) for number in range(CHILDREN)]
    for child in children:
        child.start()
    emit("parent", count)
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode


def forked(count: int, work: Any) -> None:
    children = []
    for number in range(CHILDREN):
        child = os.fork()
        if child == 0:
            try:
                work(f"child{number}", count)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def count_own(who: str, count: int) -> None:
    assert sum(pipeline.account().events.values()) == 0
    emit(who, count)
    assert sum(pipeline.account().events.values()) == count
    assert pipeline.flush(30)


def while_threads_emit(count: int) -> None:
    stopping = threading.Event()

    def emit_until_told(name: str) -> None:
        number = 0
        while not stopping.is_set():
            kpi_success(None, "FORK", "event", correlation_id=f"{name}-{number}")
            os.write(1, f"{name}-{number}\n".encode())
            number += 1

    threads = [threading.Thread(target=emit_until_told, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for round_ in range(5):
            forked(count, lambda who, count, round_=round_: emit(f"{round_}{who}", count))
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def while_sessions_hold(count: int) -> None:
    engine = create_engine(database.normalise_url(os.environ["DATABASE_URL"]))

    def hold(name: str) -> Session:
        session = Session(engine)
        session.execute(text("SELECT 1"))
        kpi_success(session, "FORK", "event", correlation_id=name)
        os.write(1, f"{name}\n".encode())
        return session

    kept = hold("committed")
    hold("dropped")
    in_children("fork", count)
    kept.commit()


if __name__ == "__main__":
    way, count = sys.argv[1], int(sys.argv[2])
    emit("before", count)
    match way:
        case "pool":
            with multiprocessing.get_context("fork").Pool(CHILDREN) as pool:
                pool.map(emit_in_pool, [(f"task{number}", count) for number in range(12)])
                pool.close()
                pool.join()
        case "_exit":
            forked(count, emit)
        case "counters":
            forked(count, count_own)
            assert sum(pipeline.account().events.values()) == count
        case "held":
            while_sessions_hold(count)
        case "threads":
            while_threads_emit(count)
        case _:
            in_children(way, count)
    emit("after", count)
