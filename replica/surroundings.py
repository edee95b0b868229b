"""What a replica or a client finds around itself: time, chance, threads, disks, and the network if it is in memory.

A process has the real ones, which are the defaults.  A test gives its own, and runs the same code in virtual time, repeatable by a seed.
"""

from __future__ import annotations

import os
import random
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.storage.folder import DataFolder
from replica.storage.log import DurableLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from replica.storage.records import Record
    from transport.fabric import Fabric


@attrs.frozen
class Surroundings:
    """See the module.

    Attributes:
        clock: seconds, any origin, never going back; as fast as Trio's.
        draw: numbers in [0, 1), for the times of elections and of dialing again.
        entropy: so many random bytes, for what must be unique.
        open_folder: opens a data folder, given its path, ``cluster_id``, ``replica_id`` and ``facts``; see ``DataFolder.open``.
        open_log: opens its log, given its disk and ``create``; see ``DurableLog.open``.
        in_thread: calls a function that waits for a disk; Trio's tasks go on meanwhile. Cancelling it must not leave the function running.
        fabric: carries links to ``memory:`` addresses; None: there are none.
        fabric_name: our name in the fabric.
    """

    clock: Callable[[], float] = monotonic
    draw: Callable[[], float] = random.random
    entropy: Callable[[int], bytes] = os.urandom
    open_folder: Callable[..., DataFolder] = DataFolder.open
    open_log: Callable[..., tuple[DurableLog, list[Record]]] = DurableLog.open
    in_thread: Callable[..., Awaitable[Any]] = trio.to_thread.run_sync
    fabric: Fabric | None = None
    fabric_name: str = ""


PROCESS = Surroundings()
"""Those of a process."""
