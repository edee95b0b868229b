"""The longest that a process may take to stop: a disk that stalls must not keep one that was told to end.

A thread that waits for a disk cannot be called back, and the log must not be closed under it; so an orderly stop waits for both.  When that takes
too long the process ends as by ``kill -9``, which every data folder survives: nothing was acknowledged that the disk had not confirmed.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_STATUS = 1

logger = logging.getLogger("triskele.replica")


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End the process, with status 1 and a line, if the block takes longer than so many seconds.

    A thread of its own sees to it, since the event loop may be what does not come back.
    """
    timer = threading.Timer(seconds, _end, (seconds,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(seconds: float) -> None:
    logger.critical("not stopped within %g s (does the disk answer?): ended here, and nothing acknowledged is lost", seconds)
    os._exit(EXIT_STATUS)
