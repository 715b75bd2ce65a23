"""The figures of bench/load are what they are called."""

from bench.load.figures import Latency, megabytes, table, time_of


def test_percentiles_are_those_of_the_calls_and_the_longest_is_kept() -> None:
    found = Latency.of([number / 1000 for number in range(1001)])
    assert [round(value, 6) for value in found] == [0.5, 0.95, 0.99, 0.999, 1.0]
    slow = Latency.of([1.0, 5.0])
    assert Latency.median([found, found, slow]) == found._replace(longest=5.0)


def test_figures_are_shown_with_their_unit() -> None:
    shown = [time_of(seconds) for seconds in (26.3e-6, 0.00197, 0.1234, 2.5)]
    assert shown == ["26.3 µs", "2.0 ms", "123 ms", "2.50 s"]
    assert megabytes(1.5 * 2**20) == "1.5 MiB"
    assert table(["a", "b"], [["x", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x | 1 |"]
