"""Distance between the processes of one machine: what two places say to each other goes through a proxy of ours, which holds it for a while.

The clients stand beside replica 1, as clients stand beside the nearest of three sites; everybody else is far from everybody. The proxies run in the
load's own process: they cost processor time that no replica and no client is charged for, and a few dozen microseconds beside the delay.

Rejected: the kernel's ``netem`` (it needs root, and would delay the whole machine's loopback).
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from triskele.chaos.network import CLIENTS, Effect, Network, ways_between
from triskele.chaos.proxies import Proxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOME: Final = 1
"""The replica that the clients stand beside, unless it is the only one there is."""


@asynccontextmanager
async def apart(delay_seconds: float, replicas: int) -> AsyncIterator[Proxies]:
    """Run proxies for the length of the block; a cluster started with their ``seen_by`` is so far apart, one way.

    Args:
        delay_seconds: Of each way.
        replicas: How many there will be, ids from 0.
    """
    network = Network()
    places = (CLIENTS, *range(replicas))
    network.put(0, dict.fromkeys(ways_between(places, places), Effect(delay_seconds=delay_seconds)))
    failure: Exception | None = None
    with tempfile.TemporaryDirectory(prefix="triskele-distance-") as folder:
        async with trio.open_nursery() as nursery:
            try:
                yield Proxies(network, nursery, Path(folder), 0, home=min(HOME, replicas - 1))
            except Exception as error:  # noqa: BLE001 - raised again below: the nursery would wrap it in a group
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
