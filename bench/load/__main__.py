"""Run one part of the load report, or all of it: `python -m bench.load [peers|service|growth]`."""

import argparse
import logging
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.load import growth, peers, service

from tests.support.postgres import PostgresServer

PARTS = ("peers", "service", "growth")


def tell(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        choices=[*PARTS, []],
        help="peers, service, growth; by default all of them",
    )
    parser.add_argument("--rounds", type=int, help="how often everything is measured, in turn")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=growth.SIZES, help="rows in the store beforehand"
    )
    parser.add_argument("--seed", type=int, help="of the moments of the kills")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    for part in arguments.parts or PARTS:
        started = time.monotonic()
        server = PostgresServer(durable=True, settings={"max_wal_size": "4GB"} if part == "growth" else None)
        server.start()
        tell(f"### {part}\n\nPython {platform.python_version()}, {os.cpu_count()} cores\n")
        if part == "peers":
            peers.main(server, tell, arguments.rounds or peers.ROUNDS, arguments.seed)
        elif part == "service":
            service.main(server, tell, arguments.rounds or service.ROUNDS)
        else:
            growth.main(server, tell, sorted(arguments.sizes), arguments.rounds or growth.ROUNDS)
        server.remove()
        tell(f"\n{time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
