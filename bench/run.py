"""Run every benchmark and print one table: `make bench`.

`GOLIVE_EVENT_LOG` names an event log to import; without it that line says so.
"""

import logging
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import emit, export, gate, importing, imports, otlp, page, risk, transaction, tripwire_cost

from tests.support.postgres import PostgresServer

LOG = Path(os.environ.get("GOLIVE_EVENT_LOG", ""))


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("| golive | | beside | | ratio | target |\n|---|---|---|---|---|---|", flush=True)
    server = PostgresServer(durable=True)
    server.start()
    for measure in (
        emit.main,
        lambda: export.main(server),
        lambda: transaction.main(server),
        lambda: importing.main(server, LOG),
        imports.main,
        gate.main,
        otlp.main,
        lambda: page.main(server),
        lambda: risk.main(server),
        lambda: tripwire_cost.main(server),
    ):
        print("\n".join(measure()), flush=True)
    server.remove()


if __name__ == "__main__":
    main()
