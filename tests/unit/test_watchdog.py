import threading
import time
from typing import Any

import pytest

from golive import _watchdog


def test_a_watch_that_got_no_thread_once_watches_the_next_use(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[Any] = []
    monkeypatch.setattr(_watchdog, "_cut", cut.append)
    watch = _watchdog._Watch()
    with monkeypatch.context() as full:

        def refused(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        full.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError):
            watch.begin("one", "connection one", time.monotonic())
    watch.begin("two", "connection two", time.monotonic())
    deadline = time.monotonic() + 10
    while not cut and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cut == ["connection two"]
