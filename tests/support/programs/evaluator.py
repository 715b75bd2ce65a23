"""Evaluates a stream over and over, once it is told to, and says how often it tripped.

python evaluator.py URL DOMAIN METRIC TIMES
"""

import sys

from golive import regression


def main(url: str, domain: str, metric: str, times: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(regression.evaluate_policy(url, domain, metric).tripped for _ in range(times)))


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
