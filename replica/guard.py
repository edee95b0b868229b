"""Watches whether this replica's state is the others', and takes it out of service when it must not serve any more.

Taken out of service is not ended: the process stays, its admin listener says why, and whoever wants to find out what happened has its memory to
look at.  It hears and says nothing more on any other port.  One that knows itself to be wrong writes that into its data folder, and refuses to
start from it again: what is on its disk may be as wrong as what was in memory.  Where nobody can tell who is right nothing is written: then an
operator must decide, and starts again what is to serve.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from transport.fault_points import reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.divergence import Divergence
    from replica.storage.folder import DataFolder

logger = logging.getLogger("triskele.replica")

DIVERGED = "diverged"
"""Fact of the data folder: why its replica must not serve from it."""
KEYS = 1000
"""Hashed in one step, 1 to 4 ms."""
BUSY_SECONDS, IDLE_SECONDS = 0.01, 0.2


class Diverged(Exception):
    """The replica was out of service when it was stopped; the message says why."""

    exit_status = 1


class Guard:
    """Watches one replica.

    Args:
        divergence: of its core.
        folder: where a certain verdict is written; None: nowhere, since nothing of the state outlives the process.
        wake: ends the turn, so that what was found out is told to the others.
        silence: takes the replica out of service.
    """

    def __init__(self, divergence: Divergence, folder: DataFolder | None, wake: Callable[[], None], silence: Callable[[], None]) -> None:
        self._divergence = divergence
        self._folder = folder
        self._wake = wake
        self._silence = silence
        self._told: set[int] = set()  # other replicas whose divergence was logged

    @property
    def verdict(self) -> str:
        """Why the replica is out of service; empty while it is not."""
        return self._divergence.verdict

    async def run(self) -> None:
        """Compare states until cancelled."""
        while not self.verdict:
            reach("guard.look")
            busy = self._divergence.work(KEYS)
            if busy:
                self._wake()
            for replica, position in self._divergence.divergent.items():
                if replica not in self._told:
                    self._told.add(replica)
                    logger.error("replica %d has another state at position %d than the majority", replica, position)
            await trio.sleep(BUSY_SECONDS if busy else IDLE_SECONDS)
        logger.critical("out of service: %s", self.verdict)
        self._silence()
        if self._folder is not None and self._divergence.certain:
            self._folder.remember(DIVERGED, self.verdict)
        await trio.sleep_forever()

    def judge_end(self) -> None:
        """Let the end of a process that was out of service say so.

        Raises:
            Diverged: it was.
        """
        if self.verdict:
            raise Diverged(f"out of service: {self.verdict}")
