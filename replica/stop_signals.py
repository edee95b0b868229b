"""The signals that end a process of ours in order.

A terminal that is closed, and a connection to the machine that breaks, send SIGHUP to what runs in it.  Whoever dies of that hands nothing over
and leaves its temporary folders behind, so it ends a process as SIGTERM does.  One that was started to outlive its terminal (``nohup``) ignores
the signal from the beginning, and goes on doing so.
"""

from __future__ import annotations

import signal


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals to wait for, for ``trio.open_signal_receiver``."""
    always = (signal.SIGINT, signal.SIGTERM)
    return always if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*always, signal.SIGHUP)
