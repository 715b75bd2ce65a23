"""One peer in a process of its own: measured, killed, or set up again for what it left behind.

python -m bench.load.peer measure|kill|recover WAY EVENTS FOLDER SINK DATABASE
"""

import gc
import json
import mmap
import struct
import sys
import time
from array import array
from pathlib import Path
from typing import Any

from bench.load.figures import Latency
from bench.load.places import WARM, Place
from bench.load.ways import WAYS, Running

WARM_UP = 300
PACE = 500
"""Events a second of a peer that is going to be killed: far below what fills a queue."""
ACKNOWLEDGED = "acknowledged"
"""The file whose first eight bytes say how many calls returned; shared memory, so that a kill loses none."""


def measure(running: Running, events: int) -> dict[str, Any]:
    """Return what that many calls cost; sizes in bytes, times in seconds."""
    ids = [f"deal_{number}" for number in range(events)]
    took = array("d", bytes(8 * events))
    call, clock = running.call, time.perf_counter
    gc.collect()
    before_bytes = _reset_peak()
    started = clock()
    for number, correlation_id in enumerate(ids):
        before = clock()
        call(correlation_id)
        took[number] = clock() - before
    called_s = clock() - started
    running.flush()
    return {
        "called_s": called_s,
        "delivered_s": clock() - started,
        "latency": Latency.of(took),
        "grown": _status("VmHWM") - before_bytes,
    }


def until_killed(running: Running, folder: Path) -> None:
    """Call at an even pace, and keep count of what was acknowledged."""
    with (folder / ACKNOWLEDGED).open("wb+") as file:
        file.write(bytes(8))
        file.flush()
        counted = mmap.mmap(file.fileno(), 8)
        print("ready", flush=True)
        started, number = time.monotonic(), 0
        while True:
            running.call(f"deal_{number}")
            number += 1
            struct.pack_into("q", counted, 0, number)
            time.sleep(max(0.0, started + number / PACE - time.monotonic()))


def acknowledged(folder: Path) -> int:
    """Return how many calls of a killed peer had returned."""
    (number,) = struct.unpack("q", (folder / ACKNOWLEDGED).read_bytes())
    return int(number)


def main(act: str, way: str, events: int, place: Place) -> None:
    running = WAYS[way].begin(place)
    if act != "recover":
        for _ in range(WARM_UP):
            running.call(WARM)
    running.flush()
    if act == "measure":
        found = measure(running, events)
        arrived = WAYS[way].arrived(place)
        print(json.dumps(found | {"arrived": len(set(arrived)), "twice": len(arrived) - len(set(arrived))}))
    elif act == "kill":
        until_killed(running, Path(place.folder))


def _reset_peak() -> int:
    """Let the kernel forget the peak of this process's memory; return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(found) * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Place(*sys.argv[4:]))
