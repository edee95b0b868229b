"""Cancels an async function at one checkpoint, its own or anybody's, so that a loop over all of them leaves out no moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class AtCheckpoint(trio.abc.Instrument):
    """Cancels a scope when a task (None: whichever) comes to its k-th checkpoint from now on."""

    def __init__(self, task: trio.lowlevel.Task | None, checkpoint: int, scope: trio.CancelScope) -> None:
        self._task = task
        self._left = checkpoint
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._task is None or task is self._task:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


async def cancelled_at(checkpoint: int, function: Callable[[], Awaitable[None]]) -> bool:
    """Run a function in a task of its own and cancel it when somebody comes to the k-th checkpoint, from 1; return whether it took so many."""
    scope = trio.CancelScope()

    async def task() -> None:
        instrument = AtCheckpoint(None, checkpoint, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            with scope:
                await function()
        finally:
            trio.lowlevel.remove_instrument(instrument)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
    return scope.cancel_called


def open_descriptors() -> int:
    """Count this process's open files and sockets."""
    return len(list(Path("/proc/self/fd").iterdir()))
