"""Whether a turn waits for the next sync of the log. Pure: told durations, touches nothing.

A turn that waits for its sync is the shortest way for a single command: a handover to the thread that syncs (``sync_thread``) costs 15 to 40 µs, and
finishing it from Trio's event loop 0.15 ms more, which a disk with a cache that survives power failures (0.03 to 0.3 ms a sync) should not pay.
But everything waits for a turn, and on a disk whose sync takes 5 ms turns would do nothing but wait, where otherwise the next batch gathers
meanwhile.  So the durations decide: turns wait (*inline*) while the moving estimate is at most 2 ms; they do not (*threaded*) beyond it, or at once
when a single sync took 20 ms.  How long a turn waits for a sync that nobody knew to be slow is its own patience (``persistence``).

Back inline only after 16 syncs in a row with an estimate below half of the limit: the two thresholds and the count keep a disk near the limit
from switching with every sync.  What is measured in a thread is taken as it is: it is the sync alone, without the hop.

Rejected: never waiting (a third more latency on good disks), a setting (operators would have to measure), and the median of a window (an
outlier is what matters here).
"""

from __future__ import annotations

from typing import Final

GAIN: Final = 1 / 8
"""Weight of the newest duration in the estimate, as in TCP's round-trip estimate (RFC 6298)."""


class SyncPolicy:
    """Decides from measured durations; see the module.

    Args:
        inline_seconds_max: most that a sync may be expected to take inside a turn.
        single_seconds_max: one sync that took longer than this sends the next ones to a thread.
        calm_syncs: so many syncs in a row with an estimate below half of ``inline_seconds_max`` lead back.

    Attributes:
        threaded: whether the next sync is to run in a thread.
        estimate_seconds: moving estimate of a sync's duration; 0 before the first.
    """

    __slots__ = ("_calm", "_calm_syncs", "_inline_seconds_max", "_single_seconds_max", "estimate_seconds", "threaded")

    def __init__(self, *, inline_seconds_max: float = 0.002, single_seconds_max: float = 0.02, calm_syncs: int = 16) -> None:
        assert inline_seconds_max >= 0
        assert calm_syncs >= 1
        self._inline_seconds_max = inline_seconds_max
        self._single_seconds_max = single_seconds_max
        self._calm_syncs = calm_syncs
        self._calm = 0  # syncs in a row whose estimate was low
        self.threaded = False
        self.estimate_seconds = 0.0

    def measured(self, seconds: float) -> None:
        """Take note of one sync's duration, wherever it ran."""
        self.estimate_seconds += (seconds - self.estimate_seconds) * (GAIN if self.estimate_seconds else 1)
        if self.estimate_seconds > self._inline_seconds_max or seconds > self._single_seconds_max:
            self.threaded = True
            self._calm = 0
        elif self.estimate_seconds < self._inline_seconds_max / 2:
            self._calm += 1
            if self._calm >= self._calm_syncs:
                self.threaded = False
        else:
            self._calm = 0
