"""Puts seed rows back where they are needed and gone, so that the runbook's advice to upgrade helps."""

from sqlalchemy import Connection, insert, select

from golive.models import Base
from golive.models.seeds import SEEDS

_NEEDED = {"risk_policy": "GLOBAL", "go_live_state": 1}
"""Rows nothing works without; other seed rows may have been removed on purpose."""


def reseed(connection: Connection) -> None:
    """Fill the tables that have no row at all with their seeds, and insert the rows nothing works without."""
    for name, (key, rows) in SEEDS.items():
        table = Base.metadata.tables[name]
        there = set(connection.scalars(select(table.c[key[0]])))
        missing = rows if not there else [row for row in rows if row[key[0]] == _NEEDED.get(name)]
        for row in missing:
            if row[key[0]] not in there:
                connection.execute(insert(table).values(row))
