"""The benchmark judges what golive ships: its vectorised rules agree with the SDK's, and with river's."""

import pytest

pytest.importorskip("numpy", reason="the dependency group `bench` is not installed")

from bench.tripwire import agreement


def test_the_scan_of_the_benchmark_is_confirmed_mode() -> None:
    assert agreement.check_scan(streams=1, every=61) > 100


def test_the_ranks_of_the_benchmark_are_those_of_confirmed_mode() -> None:
    assert agreement.check_ranks() > 100


def test_the_recursions_of_the_benchmark_are_rivers() -> None:
    pytest.importorskip("river", reason="the dependency group `bench` is not installed")
    assert agreement.check_river(streams=2) > 10
