"""Emits, and ends in the way it is told.

ending.py HOW COUNT     HOW: return, exit, raise, raise-in-step, wait (for a signal, while it emits), or commit (SIGTERM
                        comes when a transaction is committed, before golive hears of it)
"""

import os
import signal
import sys
import time

from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from golive import database
from golive.kpi import kpi_fail, kpi_success, kpi_timed_step


def commit_and_be_ended() -> None:
    def end(_session: Session) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    event.listen(Session, "after_commit", end, insert=True)
    with Session(create_engine(database.normalise_url(os.environ["DATABASE_URL"]))) as session:
        session.execute(text("SELECT 1"))
        kpi_success(session, "EXIT", "committed", correlation_id="committed")
        session.commit()


if __name__ == "__main__":
    how, count = sys.argv[1], int(sys.argv[2])
    for number in range(count):
        kpi_success(None, "EXIT", "success", correlation_id=f"first-{number}")
        print(f"first-{number}")
    match how:
        case "exit":
            sys.exit(3)
        case "raise":
            raise LookupError("the business failed")
        case "raise-in-step":
            with kpi_timed_step(None, "EXIT", "step", correlation_id="step"):
                raise LookupError("the business failed")
        case "commit":
            commit_and_be_ended()
        case "wait":
            number = 0
            while True:
                kpi_fail(None, "EXIT", "failure", correlation_id=f"then-{number}")
                print(f"then-{number}")
                number += 1
                time.sleep(0.0005)
