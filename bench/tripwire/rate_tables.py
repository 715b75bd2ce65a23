"""The tables about success rates."""

from collections.abc import Callable

import numpy as np
from bench.tripwire import delays, scan, sequential
from bench.tripwire.delays import DROPS, RATES_BEFORE, Delay, events
from bench.tripwire.riverside import Kswin, adwin_alarms
from bench.tripwire.streams import (
    AWKWARD_RATES,
    QUIET,
    RATES,
    Array,
    changed,
    correlated,
    generator,
    quiet,
    seasonal,
)
from bench.tripwire.tuning import (
    FALSE_TRIPS,
    Tuned,
    at_bar,
    describe,
    interval,
    peaks,
    share,
    tuned,
    tuned_setting,
)

from golive.tripwire import FALSE_TRIPS as OFFERED
from golive.tripwire import RATE, evidence_needed

Progress = Callable[[str], None]


def above(offered: float) -> float:
    """Return how much more evidence than at 1 % is needed."""
    return evidence_needed(offered, RATE, 0.5) - evidence_needed(FALSE_TRIPS, RATE, 0.5)


REACH = {
    0.95: ("36/75/94/98, 64", "87/100/100/100, 30", "100 at 50, 13", "6"),
    0.9: ("14/54/82/94, 96", "61/96/100/100, 47", "100 at 50, 19", "7"),
    0.7: ("1/5/23/62, 343", "7/37/85/99, 128", "63/99/100/100, 46", "12"),
    0.5: ("0/1/3/12", "1/4/27/71, 296", "15/65/98/100, 89", "22"),
    0.3: ("0/0/1/3", "0/1/4/18", "1/13/50/92, 199", "44"),
}
"""What `confirmed` mode must reach."""


def percent(found: float) -> str:
    return f"{100 * found:.2f} %" if 0 < found < 0.1 else f"{100 * found:.0f} %"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*cells: object) -> list[str]:
    return [row(*cells), "|" + "---|" * len(cells)]


def quiet_streams(streams: int, progress: Progress) -> list[str]:
    """Return how often each of golive's rules trips although nothing changed."""
    rates = sorted({*RATES, *AWKWARD_RATES})
    rules: list[tuple[str, Array, float]] = [
        ("`threshold`, 50 / 200 / 20 %", scan.Threshold(), np.nextafter(np.float32(0.2), np.float32(1))),
        ("bare likelihood ratio, 12", scan.Confirmed(credit=0), 12.0),
    ]
    confirmed = scan.Confirmed()
    lines = [
        "## Quiet streams",
        "",
        "Share of streams of 10,000 events, judged after every event, that trip at least once.",
    ]
    lines += ["", *head("true success rate", *rates)]
    for name, rule, bar in rules:
        found = [share(peaks(rule, rate, streams) >= bar) for rate in rates]
        lines.append(row(name, *map(percent, found)))
        progress(f"{name}: {lines[-1]}")
    found_peaks = {rate: peaks(confirmed, rate, streams) for rate in rates}
    any_drop = {rate: peaks(scan.Confirmed(max_drop=0.01), rate, streams) for rate in rates}
    for offered in OFFERED:
        name = f"`confirmed`, `false_trips` {offered:g}"
        cells = [percent(share(found_peaks[rate] >= above(offered))) for rate in rates]
        lines.append(row(name, *cells))
        progress(lines[-1])
    cells = [percent(share(any_drop[rate] > 0)) for rate in rates]
    lines.append(row("`confirmed`, 0.01, `max_drop_fraction` 0.01", *cells))
    low, high = interval(FALSE_TRIPS, streams)
    lines += ["", f"1 % of {streams} streams is known to {low:.1%} to {high:.1%} (95 %).", ""]
    return [*lines, *_disturbed(streams, progress), "", *_pinned(streams, progress)]


def _disturbed(streams: int, progress: Progress) -> list[str]:
    lines = ["Disturbed streams, `confirmed` at 1 %:", "", *head("true success rate", *RATES)]
    kinds: list[tuple[str, Callable[[float], Array]]] = [
        ("a season of 3 points either way, 8,000 events long", lambda rate: seasonal(rate, streams, 8000)),
        ("… 4,000 events long", lambda rate: seasonal(rate, streams, 4000)),
        ("… 2,000 events long", lambda rate: seasonal(rate, streams, 2000)),
        ("runs, correlation .1", lambda rate: correlated(rate, streams, 0.1)),
        ("runs, correlation .2", lambda rate: correlated(rate, streams, 0.2)),
        ("runs, correlation .5", lambda rate: correlated(rate, streams, 0.5)),
    ]
    confirmed = scan.Confirmed()
    for name, make in kinds:
        found = {rate: confirmed.evidence(make(rate)).max(axis=1) for rate in RATES}
        lines.append(row(name, *(percent(share(peak > 0)) for peak in found.values())))
        progress(lines[-1])
        if "runs" in name:
            strict = above(0.001)
            lines.append(
                row("… at `false_trips` 0.001", *(percent(share(p >= strict)) for p in found.values()))
            )
    every = 5
    thinned = [
        share(confirmed.evidence(correlated(rate, streams, 0.2, 10_000 * every)[:, ::every]).max(axis=1) > 0)
        for rate in RATES
    ]
    lines.append(row(f"runs, correlation .2, every {every}th event alone", *map(percent, thinned)))
    return lines


def _pinned(streams: int, progress: Progress) -> list[str]:
    lines = ["Against a pinned rate, `confirmed` at 1 %:", "", *head("true success rate", *RATES)]
    for n in (200, 1000, None):
        found = []
        for rate in RATES:
            rule = scan.Pinned(rate, n, generator(7, rate))
            found.append(share(rule.evidence(quiet(rate, streams)).max(axis=1) > 0))
        lines.append(row("known exactly" if n is None else f"taken from {n:,} events", *map(percent, found)))
        progress(lines[-1])
    return lines


def side_by_side(streams: int, progress: Progress) -> list[str]:
    """Return every detector's delays, each at the bar that gives it 1 % false trips at its worst rate."""
    few = max(100, streams // 8)
    found: list[tuple[Tuned, dict[tuple[float, float], Delay]]] = []
    for detector in _detectors(streams, progress):
        found.append((detector, delays.delays(detector, streams)))
        progress(f"delays of {detector.name}")
    found.append(_adwin(few, progress))
    lines = ["## How long after a change", "", *_confirmed_delays(found[0][1]), ""]
    lines += ["## Side by side", ""]
    lines += [f"Each at the setting that gives at most 1 % false trips at every rate ({describe(streams)};"]
    lines += [f"ADWIN, which is fed event by event, {describe(few)}).", ""]
    lines += [
        "`confirmed`, any drop, has a `max_drop_fraction` of 1 %; most others have none at all.",
        "",
    ]
    lines += [*head("detector", "setting", *(f"false trips at {rate}" for rate in RATES))]
    for detector, _ in found:
        lines.append(
            row(detector.name, detector.setting, *(percent(detector.false_trips[rate]) for rate in RATES))
        )
    cells = [(rate, drop) for rate in RATES_BEFORE for drop in DROPS]
    titles = [f"{rate} −{drop:.0%}" for rate, drop in cells]
    lines += ["", "Median events from the change to the alarm (– where half take more than 1,000):", ""]
    lines += head("detector", *titles)
    lines += [row(each.name, *(events(taken[cell].median) for cell in cells)) for each, taken in found]
    lines += ["", "Share that alarms within 200 events:", "", *head("detector", *titles)]
    lines += [
        row(each.name, *(f"{100 * taken[cell].within[2]:.0f} %" for cell in cells)) for each, taken in found
    ]
    return [*lines, "", *_not_asked_for([detector for detector, _ in found], streams, few, progress)]


def _not_asked_for(detectors: list[Tuned], streams: int, few: int, progress: Progress) -> list[str]:
    """Return how often the best trip on what a rule of 20 % is to bear."""
    kinds: list[tuple[str, Callable[[float, int], Array], int]] = [
        ("drop 5 %", lambda rate, n: changed(rate, 0.05, n), QUIET),
        ("drop 10 %", lambda rate, n: changed(rate, 0.1, n), QUIET),
        ("season, 8,000 long", lambda rate, n: seasonal(rate, n, 8000), 0),
        ("season, 4,000 long", lambda rate, n: seasonal(rate, n, 4000), 0),
    ]
    columns = [(rate, kind) for kind in kinds for rate in (0.95, 0.7, 0.5)]
    lines = [
        "Share that alarms on what a rule of 20 % is to bear: within 1,000 events of a smaller drop that",
        "lasts, or in 10,000 events of a season of 3 points either way:",
        "",
        *head("detector", *(f"{rate}, {name}" for rate, (name, _, _) in columns)),
    ]
    for detector in detectors:
        if not detector.name.startswith(("`confirmed`", "e-detector, margin", "ADWIN", "HDDM_A")):
            continue
        cells = []
        for rate, (_, make, after) in columns:
            if detector.name == "ADWIN":
                alarms = adwin_alarms(make(rate, few), float(detector.setting.split()[1]), after)
                cells.append(share(np.array([alarm is not None for alarm in alarms])))
            else:
                evidence = detector.rule(rate).evidence(make(rate, streams))[:, after:]
                cells.append(share(evidence.max(axis=1) >= detector.bar))
        lines.append(row(detector.name, *map(percent, cells)))
        progress(lines[-1])
    return lines


def _detectors(streams: int, progress: Progress) -> list[Tuned]:
    trips = float(np.nextafter(np.float32(0.2), np.float32(1)))
    made = [
        at_bar("`confirmed`", lambda _: scan.Confirmed(), 0.0, "as it is", streams),
        at_bar("`confirmed`, any drop", lambda _: scan.Confirmed(max_drop=0.01), 0.0, "as it is", streams),
        at_bar("`threshold`, not tuned", lambda _: scan.Threshold(), trips, "as it is", streams),
    ]
    candidates: list[Callable[[float], Array]] = [
        lambda _: scan.Threshold(),
        lambda _: scan.MannWhitney(50, 200),
        lambda _: scan.MannWhitney(100, 1000),
        lambda _: sequential.DDM(),
        lambda _: sequential.PageHinkley(0.005),
        lambda _: sequential.PageHinkley(0.05),
        lambda _: Kswin(100, 30),
        lambda _: Kswin(500, 100),
        lambda _: sequential.EDetector(),
        lambda _: sequential.EDetector(margin=0.1),
        lambda rate: sequential.EDetector(known=rate),
    ]
    for candidate in candidates:
        made.append(tuned(candidate, streams))
        progress(f"tuned {made[-1].name}: {made[-1].setting}")
    for make, low in ((sequential.HddmA, -12.0), (sequential.HddmW, -24.0)):
        made.append(tuned_setting(make, max(100, streams // 2), low, -1.0))
        progress(f"tuned {made[-1].name}: {made[-1].setting}")
    return made


def _adwin(streams: int, progress: Progress) -> tuple[Tuned, dict[tuple[float, float], Delay]]:
    def false(exponent: float, rates: tuple[float, ...]) -> dict[float, float]:
        alarms = {rate: adwin_alarms(quiet(rate, streams), 10**exponent) for rate in rates}
        return {rate: share(np.array([one is not None for one in found])) for rate, found in alarms.items()}

    low, high = -8.0, 0.0
    for _ in range(5):
        middle = (low + high) / 2
        worst = max(false(middle, (0.5, 0.9)).values())
        low, high = (middle, high) if worst <= FALSE_TRIPS else (low, middle)
        progress(f"ADWIN at 1e{middle:.2f}: {worst:.2%}")
    delta = 10**low
    detector = Tuned("ADWIN", lambda _: scan.Confirmed(), 0.0, f"δ {delta:.1e}", streams, false(low, RATES))
    taken = delays.adwin_delays(delta, streams)
    progress("delays of ADWIN")
    return detector, taken


def _confirmed_delays(taken: dict[tuple[float, float], Delay]) -> list[str]:
    lines = [
        f"`confirmed` at 1 %, {QUIET:,} quiet events first: share that trips within 50 / 100 / 200 / 400",
        "events in percent, then the median; below each what it must reach.",
        "",
        *head("rate before", *(f"drop {drop:.0%}" if drop < 1 else "collapse to 0" for drop in DROPS)),
    ]
    for rate in RATES_BEFORE:
        lines.append(row(rate, *(str(taken[rate, drop]) for drop in DROPS)))
        lines.append(row("", *REACH[rate]))
    return lines


TABLES = (quiet_streams, side_by_side)
