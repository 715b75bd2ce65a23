"""The tripwire's rules beside the change detectors people would use instead, at the same false trips.

    make bench-tripwire                       # writes bench/tripwire/RESULTS.md, some 15 minutes on one core
    python -m bench.tripwire --streams 200    # a quick look

Streams are simulated with fixed seeds, thousands at once, so every rule is written a second time here, in
numpy; the run begins by holding those against `golive.tripwire` and against `river`, event by event.
"""
