"""Ends this process when its standard input ends: the child's half of ``triskele.child``.

A thread, not a task: it must work when the event loop does not.  It sleeps in one ``read`` and holds no lock, so it costs nothing.
"""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE_SECONDS = 5.0


def stop_at_end_of_input(descriptor: int = 0) -> None:
    """Start waiting for the end of a pipe; then ask this process to end (SIGTERM), and end it after the grace."""
    threading.Thread(target=_wait, args=(descriptor,), name="attached", daemon=True).start()


def _wait(descriptor: int) -> None:
    while True:
        try:
            if not os.read(descriptor, 1024):
                break
        except OSError:  # no such pipe: there is no parent
            break
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
