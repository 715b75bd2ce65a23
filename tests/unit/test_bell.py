import threading
import time

from golive.bell import Bell


def test_who_waits_is_woken_and_a_bell_rings_on_until_it_is_cleared() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.set).start()
    began = time.monotonic()
    assert bell.wait(20)
    assert bell.wait(20)
    assert bell.is_set()
    assert time.monotonic() - began < 10
    bell.clear()
    assert not bell.is_set()
    assert not bell.wait(0.01)


def test_nothing_that_was_done_before_a_bell_rang_is_missed_by_who_waits_for_it() -> None:
    bell, done, rounds = Bell(), 0, 5_000

    def work() -> None:
        nonlocal done
        for _ in range(rounds):
            done += 1
            bell.set()

    thread = threading.Thread(target=work)
    thread.start()
    seen = 0
    while seen < rounds:
        bell.clear()
        seen = done
        assert seen == rounds or bell.wait(20)
    thread.join()
