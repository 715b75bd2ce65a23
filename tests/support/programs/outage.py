"""Emits while the store is away, on request.

Reads words on its input and answers each with a line: `emit N`, `flush SECONDS`, `rss`, `latency N` (the
99th percentile and the maximum of N calls, in milliseconds).
"""

import sys
import time

import psutil

from golive import pipeline
from golive.kpi import kpi_success

if __name__ == "__main__":
    emitted = 0
    kpi_success(None, "OUTAGE", "warm_up")
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        answer: object = "?"
        if word == "emit":
            for number in range(emitted, emitted + int(argument)):
                kpi_success(None, "OUTAGE", "event", correlation_id=f"{number:09}", detail={"number": number})
            emitted += int(argument)
            answer = emitted
        elif word == "flush":
            started = time.monotonic()
            answer = f"{pipeline.flush(float(argument))} {time.monotonic() - started:.3f}"
        elif word == "rss":
            answer = psutil.Process().memory_info().rss
        elif word == "latency":
            took = []
            for _ in range(int(argument)):
                before = time.perf_counter()
                kpi_success(None, "OUTAGE", "latency")
                took.append((time.perf_counter() - before) * 1000)
                time.sleep(0.001)
            took.sort()
            answer = f"{took[int(len(took) * 0.99)]:.3f} {took[-1]:.3f}"
        print(answer)
