"""Emits, and ends in the way it is told: `return`, `exit`, `raise`, or `wait` for a signal while it emits."""

import sys
import time

from golive.kpi import kpi_fail, kpi_success, kpi_timed_step

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
        case "wait":
            number = 0
            while True:
                kpi_fail(None, "EXIT", "failure", correlation_id=f"then-{number}")
                print(f"then-{number}")
                number += 1
                time.sleep(0.0005)
