"""The signals that end a process of ours in order.

A terminal that is closed, and a connection to the machine that breaks, send SIGHUP to what runs in it.  Whoever dies of that hands nothing over
and leaves its temporary folders behind, so it ends a process as SIGTERM does.  It often comes twice, from the kernel and from the shell, and says
nothing new the second time.  A process that was started to outlive its terminal (``nohup``) ignores it from the beginning, and goes on doing so.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextmanager
def open_stop_signals() -> Iterator[AsyncIterator[int]]:
    """Receive the numbers of signals that are to stop this process, for the length of the block; from its end on SIGHUP is ignored.

    What Trio received and nobody took it delivers again at the end: a second SIGHUP would kill whoever is putting things in order after the first.
    """
    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Trio restores this one
        wanted.append(signal.SIGHUP)
    with trio.open_signal_receiver(*wanted) as signals:
        yield signals
