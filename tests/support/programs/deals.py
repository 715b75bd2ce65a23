"""Makes deals for ever, each in a transaction with its KPI events, and says so after each commit."""

import itertools
import os
import sys

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from golive import database
from golive.kpi import kpi_fail, kpi_success, kpi_value

if __name__ == "__main__":
    engine = create_engine(database.normalise_url(os.environ["DATABASE_URL"]))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS deal (id varchar(40) PRIMARY KEY)"))
    for number in itertools.count():
        deal = f"{sys.argv[1]}-{number}"
        with Session(engine) as session, session.begin():
            session.execute(text("INSERT INTO deal VALUES (:deal)"), {"deal": deal})
            kpi_success(session, "DEAL", "made", correlation_id=deal)
            kpi_value(session, "DEAL", "price", number, correlation_id=deal)
            kpi_fail(session, "DEAL", "denied", correlation_id=deal)
        print(deal)
