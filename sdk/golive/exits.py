"""Ways a process ends and multiplies, and what golive does at each (E4).

| event | what happens |
| --- | --- |
| normal exit, `sys.exit`, an uncaught exception | `atexit` |
| a `multiprocessing` child returns | its own finalizers: such a child runs no `atexit` |
| SIGTERM, with nobody else handling it | a thread delivers what is left, then the signal takes its course |
| SIGTERM under uvicorn | `CorrelationMiddleware`, at the lifespan's end |
| `os._exit`, `kill -9` | nothing: the next process takes the spool over |
| fork | the child starts over with a spool, ids and an account of its own |
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

_installed = False


def install(
    at_exit: Callable[[], object],
    at_sigterm: Callable[[], object],
    before_fork: Callable[[], None],
    after_fork_in_parent: Callable[[], None],
    after_fork_in_child: Callable[[], None],
) -> None:
    """Call the hooks at the ends of this process; may be called again, in a child as well."""
    global _installed
    # Anew each time: exit handlers run from the last to the first, and OpenTelemetry's providers that were
    # made by now must still be there when the last events are announced.
    atexit.unregister(at_exit)
    atexit.register(at_exit)
    if not _installed:
        _installed = True
        os.register_at_fork(
            before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=after_fork_in_child
        )
    _at_multiprocessing_exit(at_exit)
    _at_sigterm(at_sigterm)


def _at_multiprocessing_exit(at_exit: Callable[[], object]) -> None:
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, at_exit, exitpriority=10)


def _at_sigterm(deliver: Callable[[], object]) -> None:
    # Only where the signal would end the process at once: any other handler knows what it does.
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        return

    def on_sigterm(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # In a thread, for this handler may have interrupted code that holds a lock the delivery needs.
        threading.Thread(target=deliver_and_end, name="golive-sigterm").start()

    def deliver_and_end() -> None:
        try:
            deliver()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, on_sigterm)
