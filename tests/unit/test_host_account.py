"""The account of a host is exact, whenever a process of it is killed, and never runs backwards."""

import errno
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive import cells, host_account, succession
from golive.account import DURATION_BUCKETS_S, Account
from golive.cells import CELL, CHUNK, Cell, CellFile, Key, decode_file, encode_file
from golive.events import KpiEvent, to_json
from golive.shared_account import SharedAccount
from golive.spool import Spool
from golive.stores import StillOpen

MANY = 400


class Killed(BaseException):
    """Strikes at a store into the file."""


def event(number: int, metric: str = "m", **changes: Any) -> KpiEvent:
    made = KpiEvent(
        number, 1, "D", metric, True, None, None, None, None, None, None, False, None, number * 1000 + 1
    )
    return made._replace(**changes)


class Process:
    """A process's spool and account; the store is a dictionary."""

    def __init__(self, root: Path, store: dict[int, KpiEvent], max_series: int = MANY) -> None:
        self.spool = Spool(root, 1 << 20)
        self.account = SharedAccount(Account(max_series), self.spool.folder.path)
        self.store = store
        self.spooled: list[KpiEvent] = []

    def record(self, made: KpiEvent) -> None:
        with self.account.lock:
            end = self.spool.append(to_json(made))
            self.spooled.append(made)
            self.account.count(made, end)

    def record_all(self, made: Sequence[KpiEvent]) -> None:
        with self.account.lock:
            ends = self.spool.append_all([to_json(one) for one in made])
            self.spooled += made
            for one, end in zip(made, ends, strict=True):
                self.account.count(one, end)

    def commit(self, made: Sequence[KpiEvent]) -> None:
        self.account.intend(made)
        self.store.update({one.id: one for one in made})
        self.account.count_committed(made)

    def roll_back(self, made: Sequence[KpiEvent]) -> None:
        self.account.intend(made)
        self.account.withdraw(made)

    def find(self, ids: Sequence[int], transactions: Collection[int]) -> list[KpiEvent]:
        return [self.store[number] for number in ids if number in self.store]

    def die(self) -> None:
        """Let go of every file, as the kernel does for a killed process."""
        self.account.abandon_in_child()
        self.spool.abandon_in_child()

    def be_taken_over(self, max_series: int = MANY) -> None:
        folder = self.spool.folder
        succession.take_over(folder.path, folder.last_lines())
        assert succession.retire(folder.path, self.find, max_series)

    def end(self) -> None:
        self.account.close()
        assert succession.retire(self.spool.folder.path, None, MANY)
        self.spool.close(remove=True)


def assert_exact(root: Path, true: Sequence[KpiEvent]) -> None:
    host = host_account.read([root], MANY)
    assert host.events == Counter((one.domain, one.metric, one.outcome) for one in true)
    sums: Counter[str] = Counter()
    for one in true:
        if one.value is not None:
            sums[one.metric] += one.value  # type: ignore[assignment]
    assert {metric: values.total for (_, metric), values in host.values.items()} == pytest.approx(dict(sums))
    valued = sum(one.value is not None for one in true)
    assert sum(values.events for values in host.values.values()) == valued
    timed = [one for one in true if one.duration_ms is not None]
    assert sum(sum(found.buckets) for found in host.durations.values()) == len(timed)
    assert sum(found.total_s for found in host.durations.values()) == pytest.approx(
        sum(one.duration_ms / 1000 for one in timed if one.duration_ms is not None)
    )


acts = st.lists(
    st.tuples(
        st.sampled_from(["record", "record_all", "commit", "roll_back"]),
        st.integers(1, 20),
        st.sampled_from(["m", "n"]),
        st.sampled_from([None, 2.5]),
        st.sampled_from([None, 3.0, 70_000.0]),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.faults
@settings(max_examples=400, deadline=None)
@given(acts, st.integers(0, 150))
def test_whatever_store_a_kill_strikes_at_every_true_event_counts_once(
    planned: list[tuple[str, int, str, float | None, float | None]], kill_at: int
) -> None:
    original, original_raw, original_add = Cell.set, Cell.set_raw, Cell.add
    left = kill_at

    def strike() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def set_raw(self: Cell, raw: bytes) -> None:
        strike()
        original_raw(self, raw)

    def set_(self: Cell, value: float, mark: int) -> None:
        strike()
        original(self, value, mark)

    def add(self: Cell, amount: float, mark: int) -> None:
        strike()
        original_add(self, amount, mark)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        store: dict[int, KpiEvent] = {}
        process = Process(root, store)
        patch.setattr(Cell, "set", set_)
        patch.setattr(Cell, "set_raw", set_raw)
        patch.setattr(Cell, "add", add)
        number = 0
        try:
            for act, count, metric, value, duration in planned:
                made = [event(number + n, metric, value=value, duration_ms=duration) for n in range(count)]
                number += count
                if act == "record":
                    process.record(made[0])
                else:
                    getattr(process, act)(made)
        except Killed:
            pass
        patch.undo()
        process.die()
        process.be_taken_over()
        assert_exact(root, [*process.spooled, *store.values()])


def test_a_successor_that_is_killed_in_the_middle_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: dict[int, KpiEvent] = {}
    process = Process(tmp_path, store)
    process.record(event(1, value=1.0))
    process.spool.append(to_json(event(2, value=2.0)))  # killed before it was counted
    process.account.intend([event(3)])
    store[3] = event(3)  # killed after the commit
    true = [event(1, value=1.0), event(2, value=2.0), event(3)]
    folder = process.spool.folder

    def fail(*_: Any, **__: Any) -> None:
        raise Killed

    for name in ("rename", "unlink"):
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(Path, name, fail)
                with pytest.raises(Killed):
                    succession.take_over(folder.path, folder.last_lines())
                    succession.retire(folder.path, process.find, MANY)
    process.be_taken_over()
    process.be_taken_over()
    assert_exact(tmp_path, true)


def test_a_killed_process_ends_once_the_store_has_decided_over_its_transactions(tmp_path: Path) -> None:
    process = Process(tmp_path, {})
    made = [event(number) for number in range(20)]
    process.account.intend(made)
    process.account.note_transaction(made, 7)
    folder = process.spool.folder
    process.die()
    undecided = {7}

    def find(ids: Sequence[int], transactions: Collection[int]) -> list[KpiEvent]:
        if undecided.intersection(transactions):
            raise StillOpen
        return process.find(ids, transactions)

    assert succession.take_over(folder.path, folder.last_lines())
    assert not succession.retire(folder.path, find, MANY)
    assert_exact(tmp_path, [])
    process.store |= {one.id: one for one in made}
    undecided.clear()
    assert succession.retire(folder.path, find, MANY)
    assert_exact(tmp_path, made)


def test_the_living_and_the_ended_add_up(tmp_path: Path) -> None:
    store: dict[int, KpiEvent] = {}
    ended = [Process(tmp_path, store) for _ in range(3)]
    for number, process in enumerate(ended):
        process.record(event(number))
        process.end()
    living = [Process(tmp_path, store) for _ in range(3)]
    for number, process in enumerate(living):
        process.record(event(10 + number))
    assert_exact(tmp_path, [event(number) for number in range(6)])
    for process in living:
        process.end()
    assert_exact(tmp_path, [event(number) for number in range(6)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["retired", "retired.lock"]


def test_no_reader_sees_a_count_run_backwards_while_processes_come_and_go(tmp_path: Path) -> None:
    stopping = threading.Event()
    backwards: list[tuple[int, int]] = []
    recorded = [0, 0]

    def live(lane: int) -> None:
        while not stopping.is_set():
            process = Process(tmp_path, {})
            for number in range(3):
                process.record(event(number))
                recorded[lane] += 1
            process.end()

    def look() -> None:
        last = 0
        while not stopping.is_set():
            floor = sum(recorded) - 2
            seen = sum(host_account.read([tmp_path], MANY).events.values())
            if seen < max(last, floor):
                backwards.append((max(last, floor), seen))
            last = seen

    threads = [threading.Thread(target=live, args=(lane,)) for lane in range(2)]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    threading.Event().wait(2)
    stopping.set()
    for thread in threads:
        thread.join()
    assert backwards == []
    assert sum(host_account.read([tmp_path], MANY).events.values()) == sum(recorded) > 20


def test_a_spool_made_anew_goes_on_with_what_was_counted(tmp_path: Path) -> None:
    process = Process(tmp_path, {})
    for number in range(3):
        process.record(event(number, value=1.0, duration_ms=1.0))
    folder = process.spool.folder.path
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    process.spool.restore(0)
    process.account.move(process.spool.folder.path, process.spool.end)
    true = [event(number, value=1.0, duration_ms=1.0) for number in range(3)]
    assert_exact(tmp_path, true)
    process.record(event(3))
    process.be_taken_over()
    assert_exact(tmp_path, [*true, event(3)])


@pytest.mark.parametrize("max_series", [1, 3])
def test_series_past_the_limit_count_as_overflow_on_the_host_too(tmp_path: Path, max_series: int) -> None:
    for process_number in range(3):
        process = Process(tmp_path, {}, max_series=2)
        for number in range(4):
            process.record(event(number, f"m{process_number}{number}"))
        if process_number == 0:
            process.end()
        if process_number == 1:
            process.spool.append(to_json(event(9, "m13")))
            process.be_taken_over()
    host = host_account.read([tmp_path], max_series)
    assert sum(host.events.values()) == 13
    assert len({series[:2] for series in host.events}) == max_series + 1
    assert host.events["__overflow__", "__overflow__", "success"] == 13 - max_series


def test_where_the_disk_is_full_this_process_counts_on_and_the_host_sees_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        process = Process(tmp_path, {})
        for number in range(3):
            process.record(event(number))
        assert host_account.read([tmp_path], MANY).events == {}
    assert caplog.text.count("cannot see") == 1
    process.account.waiting(3, 1)
    assert_exact(tmp_path, [event(number) for number in range(3)])


def test_where_a_store_may_need_room_a_full_disk_ends_no_process_and_the_next_count_makes_up_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "_copies_on_write", lambda file: True)
    process = Process(tmp_path, {})
    made = [event(number, value=1.5, duration_ms=3.0) for number in range(3)]
    process.record(made[0])
    assert_exact(tmp_path, made[:1])
    with monkeypatch.context() as full:
        full.setattr(cells, "_pwrite", lambda *_: -1)
        process.record(made[1])
    process.record(made[2])
    assert_exact(tmp_path, made)


def test_a_cell_file_grows_and_is_read_back(tmp_path: Path) -> None:
    file = CellFile(tmp_path / "account")
    keys = [("kind", "ä" * 30, str(number)) for number in range(3 * CHUNK // 200)]
    for number, key in enumerate(keys):
        made = [Cell(), Cell()]
        file.add(key, made)
        made[1].set(number, -number)
    content = (tmp_path / "account").read_bytes()
    assert len(content) > 3 * CHUNK
    records = decode_file(content)
    assert list(records) == keys
    assert [CELL.unpack(record[1]) for record in records.values()] == [(n, -n) for n in range(len(keys))]
    assert decode_file(encode_file(records)) == records
    file.close()


@given(st.binary(max_size=300), st.integers(0, 200))
def test_a_damaged_cell_file_is_read_as_far_as_it_goes(damage: bytes, at: int) -> None:
    records: dict[Key, list[bytes]] = {("kind", str(number)): [CELL.pack(number, 0)] for number in range(5)}
    content = encode_file(records)
    found = decode_file(content[:at] + damage + content[at + len(damage) :])
    assert all(isinstance(key, tuple) for key in found)
    assert decode_file(content[:at]) == dict(list(records.items())[: len(decode_file(content[:at]))])


def test_durations_fall_into_the_bucket_prometheus_expects(tmp_path: Path) -> None:
    process = Process(tmp_path, {})
    for bound in DURATION_BUCKETS_S:
        process.record(event(1, duration_ms=bound * 1000))
    process.record(event(2, duration_ms=301_000.0))
    [durations] = host_account.read([tmp_path], MANY).durations.values()
    assert durations.buckets == [1] * (len(DURATION_BUCKETS_S) + 1)


def test_an_exemplar_is_a_sampled_event_of_its_series(tmp_path: Path) -> None:
    process = Process(tmp_path, {})
    trace = "0af7651916cd43dd8448eb211c80319c"
    process.record(event(1, trace_id=trace, sampled=False))
    assert host_account.read([tmp_path], MANY).exemplars == {}
    process.record(event(2, trace_id=trace, sampled=True, duration_ms=40.0, created_ns=2_000_000_000))
    [exemplar] = host_account.read([tmp_path], MANY).exemplars.values()
    assert exemplar == (trace, 0.04, 2.0)
    process.end()
    assert list(host_account.read([tmp_path], MANY).exemplars.values()) == [exemplar]


def test_the_latest_value_is_the_one_that_happened_last_on_any_process(tmp_path: Path) -> None:
    one, other = Process(tmp_path, {}), Process(tmp_path, {})
    one.record(event(1, value=1.0, created_ns=3_000))
    other.record(event(2, value=2.0, created_ns=2_000))
    assert host_account.read([tmp_path], MANY).values == {("D", "m"): (2, 3.0, 1.0)}


def test_a_file_the_disk_has_no_room_for_leaves_no_descriptor_open(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = len(os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                CellFile(tmp_path / "account")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(os.listdir("/proc/self/fd")) == before
