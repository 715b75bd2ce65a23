"""Event ids: 63 bits, time-ordered, assigned by the emitter without coordination (E5).

    | 43 bits: Unix time in milliseconds (until 2248) | 20 bits: random start, then counted up |

Within a process ids strictly rise, also when the clock steps back. Two processes meet on one id with a chance
of about n / 1,000,000 per millisecond in which both emit and one emits n; an `emitter` number beside the id
tells such events apart, and the exporter gives the later one another id.
"""

import random
import threading
import time

RANDOM_BITS = 20
_RANDOM_MASK = (1 << RANDOM_BITS) - 1


def id_at(unix_ms: int, low_bits: int) -> int:
    """Return the id for a Unix time in milliseconds; of `low_bits` the lowest 20 count."""
    return (unix_ms << RANDOM_BITS) | (low_bits & _RANDOM_MASK)


class IdGenerator:
    """Gives the ids of one process; `emitter` is its random 63-bit number, in every event it makes."""

    def __init__(self) -> None:
        # Seeded by the system for each generator, so that a forked child's differs; a system call for each
        # millisecond's start would cost more than all the rest of an id.
        self._random = random.Random()  # noqa: S311
        self.emitter = self._random.getrandbits(63)
        self._last = 0
        self._last_ms = 0
        # Reentrant: a signal handler or a finalizer may take an id while its thread is taking one.
        self._lock = threading.RLock()

    def __call__(self) -> int:
        """Return the next id, larger than every one before."""
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            start = 0
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # Half the random range is left to count up in, so that a burst stays in its millisecond.
                start = id_at(now_ms, self._random.getrandbits(RANDOM_BITS - 1))
            # A signal handler takes its turn at a call: from here on there is none.
            self._last = event_id = start if start > self._last else self._last + 1
            return event_id


def next_probe(event_id: int) -> int:
    """Return the id to try after `event_id` turned out to be another event's.

    It keeps the millisecond and depends on the id alone, so that a batch retried after a collision finds its
    own rows again. A full-period linear congruential generator (Hull and Dobell: increment odd, multiplier
    1 modulo 4) visits every id of the millisecond before one comes twice.
    """
    low = (event_id * 0x9E3779B1 + 0x7F4A7C15) & _RANDOM_MASK
    return (event_id & ~_RANDOM_MASK) | low
