"""Stands still in the middle of a transaction of golive's own: `act`, or `expire` for a booking of the risk guard."""

import sys
import time
from typing import Any

from golive import governance
from golive.risk import ledger, risk_reserve_or_raise


def hold(*_: Any) -> None:
    print("holding")
    time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "act":
        with governance.acting():
            hold()
    else:
        lock_current = ledger._lock_current

        def lock_and_hold(*arguments: Any) -> Any:
            found = lock_current(*arguments)
            hold()
            return found

        vars(ledger)["_lock_current"] = lock_and_hold
        risk_reserve_or_raise(None, "WHOLESALE", 1)
