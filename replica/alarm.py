"""The one timer of a core: makes sure that a turn happens when the core's deadline has come.

A core has many deadlines and tells the earliest; it changes in nearly every turn, mostly to a later one.  So setting it must cost next to
nothing: a later deadline touches no timer (the sleep ends at the earlier time, finds nothing due and goes on), an earlier one moves the end of
the sleep.  Rejected: a timer for each deadline, and a sleep that is begun anew in each turn.
"""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

REST_SECONDS = 0.001
"""Least time between two rings: Trio's timers are no finer, and a deadline that stays in the past must not keep a processor busy."""


class Alarm:
    """Rings at a deadline.

    Args:
        ring: ends a turn; called when the deadline has come. What it raises ends ``run``.
        clock: the core's clock, seconds; any origin, and it runs as fast as Trio's.

    Attributes:
        wakes: how often the sleep ended.
        rings: how often ``ring`` was called.
    """

    def __init__(self, ring: Callable[[], None], clock: Callable[[], float] = monotonic) -> None:
        self._ring = ring
        self._clock = clock
        self._deadline = math.inf
        self._wakes_at = -math.inf  # when the sleep ends, on the core's clock; awake: what is set is aimed at when the sleep begins
        self._rested_at = -math.inf
        self._sleep = trio.CancelScope()
        self.wakes = self.rings = 0

    def set(self, deadline: float) -> None:
        """Ring at ``deadline`` (seconds of the core's clock, infinite for never) and not at an earlier one set before."""
        self._deadline = deadline
        if deadline < self._wakes_at:
            self._aim()

    def is_due(self, now: float) -> bool:
        """Whether the deadline has come; it may be met early by a turn that ends for another reason."""
        return now >= self._deadline

    def _aim(self) -> None:
        """Let the sleep end at the deadline; the clocks are read in the order that errs to the late side, or it would end twice."""
        self._wakes_at = max(self._deadline, self._rested_at)
        left = self._wakes_at - self._clock()
        self._sleep.deadline = trio.current_time() + max(left, 0.0)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Ring whenever the deadline has come; runs until cancelled."""
        while True:
            with trio.CancelScope() as self._sleep:
                self._aim()
                await trio.sleep_forever()
            self._wakes_at = -math.inf
            self.wakes += 1
            if self.is_due(self._clock()):
                self.rings += 1
                self._ring()
                self._rested_at = self._clock() + REST_SECONDS
