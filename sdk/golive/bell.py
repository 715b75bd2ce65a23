"""A flag one thread waits for, which may be set by code that has interrupted its being set.

`threading.Event` has a lock for that: a signal handler or a finalizer that came while its thread held it
would wait for itself. `queue.SimpleQueue` is made for them.
"""

import contextlib
import queue


class Bell:
    """Any thread may set it, and may be interrupted anywhere; one thread waits."""

    def __init__(self) -> None:
        self._set = False
        self._wakings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        if not self._set:
            self._set = True
            self._wakings.put(None)

    def clear(self) -> None:
        self._set = False  # first, for who sets it from here on must wake somebody
        with contextlib.suppress(queue.Empty):
            while True:
                self._wakings.get_nowait()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, `timeout_s` at most; return whether it is."""
        if not self._set:
            with contextlib.suppress(queue.Empty):
                self._wakings.get(timeout=timeout_s)
        return self._set
