import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from golive.ids import RANDOM_BITS, IdGenerator, id_at, next_probe


def test_ids_rise_within_a_process_and_fit_63_bits() -> None:
    generate = IdGenerator()
    ids = [generate() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert max(ids) < 1 << 63


def test_ids_are_ordered_by_time_across_processes() -> None:
    first = IdGenerator()()
    time.sleep(0.002)
    assert IdGenerator()() > first


def test_threads_never_share_an_id() -> None:
    generate, seen = IdGenerator(), list[int]()
    threads = [
        threading.Thread(target=lambda: seen.extend(generate() for _ in range(2_000))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 8_000


def test_ids_last_until_2248() -> None:
    assert id_at((1 << 43) - 1, (1 << RANDOM_BITS) - 1) == (1 << 63) - 1


@given(st.integers(0, (1 << 63) - 1))
def test_a_probe_keeps_the_millisecond_and_moves(event_id: int) -> None:
    probe = next_probe(event_id)
    assert probe >> RANDOM_BITS == event_id >> RANDOM_BITS
    assert probe != event_id
    assert next_probe(event_id) == probe


def test_probes_visit_every_id_of_a_millisecond() -> None:
    probe, visited = 0, set[int]()
    for _ in range(100_000):
        probe = next_probe(probe)
        visited.add(probe)
    assert len(visited) == 100_000
