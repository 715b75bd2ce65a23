"""Instants as whole numbers."""

import datetime as dt

import pytest

from golive.instants import EPOCH, microseconds

EAST = dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (EPOCH, 0),
        (dt.datetime(2026, 1, 13, 12, 0, 0, 1, tzinfo=dt.UTC), 1_768_305_600_000_001),
        (dt.datetime(2026, 1, 13, 14, 0, 0, 1, tzinfo=EAST), 1_768_305_600_000_001),
        (dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC), -1),
        (dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC), 253_402_300_799_999_999),
    ],
)
def test_an_instant_is_told_to_the_microsecond(moment: dt.datetime, expected: int) -> None:
    assert microseconds(moment) == expected
