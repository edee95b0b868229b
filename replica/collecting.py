"""Keeps Python's cyclic collector off the hot path, and out of the store: turns allocate many containers and hardly any cycles.

The collector goes through all containers of a generation at once, and through every entry of each: a million entries of a store would be a pause
of 100 ms.  What is frozen it never looks at.  Freezing takes no time, and whatever grows inside a frozen dict is not looked at either; garbage with
cycles that happens to be alive at that moment stays, once.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

from replica.profiling.collector import COLLECTOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from statemachine.store import Store

YOUNG = 10_000
"""New containers between two collections. Most are the store's pairs, which the first look drops from the list: 50,000 took 20 ms at a time."""
LOOK_SECONDS = 1.0
"""In so long a store gets some hundred thousand keys at most: 20 ms if a collection comes first."""


def tune() -> None:
    """Freeze what this process has made so far, and let collections be rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    COLLECTOR.start()


async def spare(store: Callable[[], Store]) -> None:
    """Freeze the dicts of a store whose table has grown out of its first one, each time that it is another store; runs until cancelled.

    Args:
        store: gives the present one; a snapshot that is installed brings a new one.
    """
    spared = None
    while True:
        entries = store().entries
        if entries is not spared and entries.parts() > 1:
            gc.freeze()
            spared = entries
        await trio.sleep(LOOK_SECONDS)
