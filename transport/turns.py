"""Turns: the unit of work. Everything that was received together is handled, then the turn ends once: effects are taken and sent.

The hub ends its turns in place (``end_now``).  Other tasks (timers, WebSocket and memory links) call ``wake``; the broadcast task then ends the
turn after every task that was runnable has run, because Trio runs a newly runnable task in the next batch of its loop.  That is the natural
batch: it adds no delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Ends turns.

    Args:
        end: takes what the turn produced, queues it with ``link.send`` and calls ``link.flush``. Must not await. What it raises ends ``run`` or
            the hub, and so the nursery: nothing is sent after a bug.

    Attributes:
        ended: turns ended so far.
    """

    __slots__ = ("_awake", "_end", "_wakeup", "ended")

    def __init__(self, end: Callable[[], None]) -> None:
        """Start with no turn begun."""
        self._end = end
        self._awake = False
        self._wakeup = trio.Event()
        self.ended = 0

    def wake(self) -> None:
        """Say that there is something to send; the turn ends after all tasks that are runnable now. Cheap to repeat."""
        if not self._awake:
            self._awake = True
            self._wakeup.set()

    def end_now(self) -> None:
        """End the turn in place."""
        self._awake = False
        self.ended += 1
        self._end()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """End turns that other tasks ask for; runs until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup = trio.Event()
            if self._awake:
                self.end_now()
