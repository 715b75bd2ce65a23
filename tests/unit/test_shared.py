"""What many look at is read once, and read again when it is old."""

import threading
from concurrent.futures import ThreadPoolExecutor

from golive.api.shared import Shared


def test_who_asks_together_or_a_moment_later_gets_what_one_of_them_read() -> None:
    shared, together = Shared(kept_s=3600), threading.Barrier(8)

    def ask(_: int) -> object:
        together.wait(10)
        return shared.get("24h", object)

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(ask, range(8)))
    assert found == {shared.get("24h", object)}
    assert shared.get("7d", object) not in found


def test_what_is_old_or_pushed_out_or_could_not_be_read_is_read_again() -> None:
    shared = Shared(kept_s=0)
    assert [shared.get("24h", lambda: number) for number in range(2)] == [0, 1]  # noqa: B023 - called at once
    shared = Shared(kept_s=3600)
    for number in range(100):
        shared.get(number, lambda: "first")
    assert shared.get(0, lambda: "second") == "second"
    assert shared.get(99, lambda: "second") == "first"
