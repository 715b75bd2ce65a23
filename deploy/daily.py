"""Run a command of golive once a day, the first time at once: in the composition, what keeps the store small.

    python -m deploy.daily db maintain

A run that fails has said why, and the next one comes a day later all the same.
"""

import subprocess
import sys
import time

A_DAY_S = 86_400.0


def main(*arguments: str) -> None:
    """Run `golive …` each day, until stopped."""
    while True:
        subprocess.run([sys.executable, "-m", "golive.cli", *arguments], check=False)  # noqa: S603 # nosec B603
        time.sleep(A_DAY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
