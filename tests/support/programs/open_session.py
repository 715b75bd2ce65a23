"""Ends with a session open that has emitted.

`read` and `write` say what it did before, `thread` that a thread did it which is over, `daemon` one that runs on,
`stopped` that the pipeline was shut down since, `commit` and `close` what an exit handler does in the end.
"""

import atexit
import os
import sys
import threading

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import database, pipeline
from golive.kpi import kpi_success

if __name__ == "__main__":
    how = sys.argv[1]
    engine = create_engine(database.normalise_url(os.environ["DATABASE_URL"]))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE deal (id varchar(40) PRIMARY KEY)"))
    db = Session(engine)
    emitted = threading.Event()

    def work() -> None:
        if how in ("write", "commit", "close", "daemon"):
            db.execute(text("INSERT INTO deal VALUES ('1')"))
        else:
            db.execute(text("SELECT * FROM deal"))
        kpi_success(db, "EXIT", how)
        emitted.set()
        if how == "daemon":
            threading.Event().wait()

    if how in ("commit", "close"):
        atexit.register(getattr(db, how))  # before the pipeline's own, so that it comes after it
    if how in ("thread", "daemon"):
        threading.Thread(target=work, daemon=how == "daemon").start()
        emitted.wait()
    else:
        work()
    if how == "stopped":
        pipeline.shutdown()
