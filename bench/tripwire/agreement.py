"""What is written twice is the same: the rules in numpy as the SDK's, the recursions as `river`'s."""

import datetime as dt
from typing import Any

import numpy as np
from bench.tripwire import ranks, scan, sequential
from bench.tripwire.streams import changed, generator, quiet

from golive.tripwire import RATE, THRESHOLD, Observation, Rule, evaluate, evidence_needed
from golive.tripwire.calibration import SCANNED_WINDOWS
from golive.tripwire.confirmed import windows
from golive.tripwire.rates import Rates
from golive.tripwire.values import Values

_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def _observed(stream: list[Any], is_value: bool = False) -> list[Observation]:
    return [
        Observation(at, _START + dt.timedelta(seconds=at), None if is_value else bool(each), each)
        for at, each in enumerate(stream)
    ]


def check_scan(streams: int = 3, every: int = 37) -> int:
    """Compare evidence and trips with the SDK's, from the first event on; return how many verdicts agreed."""
    agreed = 0
    rule = Rule()
    for rate, drop in ((0.95, 0.3), (0.5, 0.5), (0.2, 1.0)):
        x = changed(rate, drop, streams)
        fast, plain = scan.Confirmed().evidence(x), scan.Threshold().evidence(x)
        for row, stream in enumerate(x):
            events = _observed(stream.tolist())
            for end in range(250, len(events) + 1, every):
                newest = events[max(0, end - 1400) : end]
                rates = Rates(newest, None)
                slow = max(
                    (
                        rates.evidence(*pair) - evidence_needed(0.01, RATE, rates.plain(*pair).baseline)
                        for pair in windows(rule, len(newest))
                        if (rates.plain(*pair).drop or 0) >= 0.2 - 1e-9
                    ),
                    default=-np.inf,
                )
                assert np.isclose(slow, fast[row, end - 1], atol=1e-3) or slow < -10, (rate, row, end)
                finding = evaluate(rule, newest)
                assert (finding.verdict == "triggered") == bool(fast[row, end - 1] >= 0)
                finding = evaluate(Rule(THRESHOLD), newest)
                assert (finding.verdict == "triggered") == bool(plain[row, end - 1] > 0.2 + 1e-9)
                agreed += 2
    return agreed


def check_ranks(every: int = 97) -> int:
    """Compare the evidence of values with the SDK's; return how many windows agreed."""
    x = generator(6).normal(100, 30, 2500)
    x[1800:] -= 20
    [(first, block), *_] = list(ranks.evidence(x, 1500))
    agreed = 0
    for column in range(0, block.shape[1], every):
        end = first + column + 1
        values = Values(_observed(x[end - 1400 : end].tolist(), is_value=True), None)
        for row, window in enumerate(SCANNED_WINDOWS):
            slow = values.evidence(window, 1000)
            assert np.isclose(slow, block[row, column], rtol=1e-3, atol=1e-4), (end, window)
            agreed += 1
    return agreed


def check_river(streams: int = 6) -> int:
    """Compare first alarms with `river`'s own; return how many agreed."""
    from river import drift as library

    drift: Any = library  # half typed

    x = np.concatenate([quiet(0.9, streams, 2500), changed(0.9, 0.5, streams)])
    pairs: list[tuple[Any, float, Any]] = [
        (sequential.DDM(), 2.0, lambda: drift.binary.DDM(1000, 1.0, 2.0)),
        (sequential.PageHinkley(0.02), 5.0, lambda: drift.PageHinkley(250, 0.02, 5.0, mode="up")),
        (sequential.HddmA(1e-3), 0.5, lambda: drift.binary.HDDMA(1e-3, 2e-3)),
        (sequential.HddmW(1e-4), 0.5, lambda: drift.binary.HDDMW(1e-4, 2e-4, 0.05)),
    ]
    agreed = 0
    for ours, bar, make in pairs:
        evidence = ours.evidence(x)
        for row, stream in enumerate(x.tolist()):
            fast = next((at for at, each in enumerate(evidence[row]) if each > bar), None)
            detector = make()
            slow = None
            for at, outcome in enumerate(stream):
                detector.update(1 - outcome)
                if detector.drift_detected:
                    slow = at
                    break
            assert fast == slow, (ours.name, row, fast, slow)
            agreed += 1
    return agreed
