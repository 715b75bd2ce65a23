"""Emits, and gets stuck in the delivery: `before` the commit of a batch, or `after` it, before its note of it."""

import sys
import time
from typing import Any

from golive import spool_folder
from golive.exporters import _rows
from golive.kpi import kpi_success


def get_stuck() -> None:
    print("stuck")
    time.sleep(600)


def stuck_before_commit(kind: Any) -> None:
    insert_many = kind.insert_many

    def insert_and_get_stuck(*arguments: Any) -> None:
        insert_many(*arguments)
        get_stuck()

    kind.insert_many = insert_and_get_stuck


if __name__ == "__main__":
    if sys.argv[1] == "before":
        stuck_before_commit(_rows.SqliteRows)
        stuck_before_commit(_rows.PostgresRows)
    else:
        spool_folder.SpoolFolder.acknowledge = lambda *_: get_stuck()  # type: ignore[method-assign]
    for number in range(int(sys.argv[2])):
        kpi_success(None, "KILL", "delivery", correlation_id=f"{number:06}")
    time.sleep(600)
