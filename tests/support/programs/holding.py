"""Stands still in the middle of a transaction of golive's own: `act`, `expire` of the risk guard, or `maintain`."""

import sys
import time
from typing import Any

from golive import governance
from golive.maintenance import growing
from golive.maintenance.maintaining import maintain
from golive.risk import ledger, risk_reserve_or_raise


def hold(*_: Any) -> None:
    print("holding")
    time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "act":
        with governance.acting():
            hold()
    elif sys.argv[1] == "maintain":
        vars(growing)["stand_in"] = hold
        maintain(governance.url_of(), partition=True)
    else:
        lock_current = ledger._lock_current

        def lock_and_hold(*arguments: Any) -> Any:
            found = lock_current(*arguments)
            hold()
            return found

        vars(ledger)["_lock_current"] = lock_and_hold
        risk_reserve_or_raise(None, "WHOLESALE", 1)
