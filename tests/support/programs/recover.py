"""The next process on the machine: delivers what dead ones left. Ends with 1 if something is left."""

import logging
import sys

from golive import pipeline

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    pipeline.configure()
    delivered = pipeline.flush(float(sys.argv[1]))
    discarded = dict(pipeline.account().discarded)
    if discarded:
        print("discarded", discarded)
    sys.exit(not delivered)
