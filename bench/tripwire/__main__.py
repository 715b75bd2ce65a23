"""Run all of it and write the tables: `python -m bench.tripwire`."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.tripwire import agreement, rate_tables, value_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000, help="streams a cell; fewer for what is slow")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("RESULTS.md"))
    arguments = parser.parse_args()
    started = time.monotonic()

    def progress(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    agreed = (agreement.check_scan(), agreement.check_ranks(), agreement.check_river())
    progress("as the SDK and river: {} verdicts, {} windows of values, {} alarms".format(*agreed))
    lines = [
        "# The tripwire's figures",
        "",
        f"Made by `make bench-tripwire` with fixed seeds, {arguments.streams} streams a cell unless a table "
        "says otherwise. [docs/tripwire.md](../../docs/tripwire.md) says what follows from it.",
        "",
    ]
    for table in (*rate_tables.TABLES, *value_tables.TABLES):
        lines += [*table(arguments.streams, progress), ""]
        arguments.out.write_text("\n".join(lines))
    progress(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
