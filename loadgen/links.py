"""A client process's drivers: one for all its streams, or one for each (``--links per-stream``), in both cases over one hub.

A driver keeps one link to each replica. Streams with links of their own stand for many small clients; they share the process's hub and turns,
because one process has one of each.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from loadgen.trace import TracingDriver
from replica.client_driver import ClientDriver, ClientSettings, open_client
from transport.hub import Hub
from transport.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.trace import Trace
    from replica.client_driver import OnCompletions


@asynccontextmanager
async def open_drivers(
    addresses: Sequence[str], count: int, *, connect_seconds: float, on_completions: OnCompletions, trace: Trace | None = None
) -> AsyncIterator[list[ClientDriver]]:
    """Connect ``count`` drivers to a cluster; all their completions go to one callback, their frames through ``trace``.

    Raises:
        Unreachable: no replica answered in time.
    """
    settings = ClientSettings(connect_seconds=connect_seconds)
    if count == 1 and trace is None:
        async with open_client(addresses, settings=settings, on_completions=on_completions) as driver:
            yield [driver]
        return
    drivers: list[ClientDriver] = []

    def end_turn() -> None:
        for driver in drivers:
            driver.end_turn()

    turns = Turns(end_turn)
    hub = Hub(turns)
    for _ in range(count):
        shared = (turns, hub)
        drivers.append(TracingDriver(settings, on_completions, shared, trace) if trace else ClientDriver(settings, on_completions, shared))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        nursery.start_soon(hub.run)
        for driver in drivers:
            nursery.start_soon(driver.run_timers)
            nursery.start_soon(driver.run_discovery)
            for address in addresses:
                nursery.start_soon(driver.mesh.dial, None, address)
        with trio.move_on_after(connect_seconds):
            for driver in drivers:
                await driver.connected.wait()
        late = [driver for driver in drivers if not driver.connected.is_set()]
        if late:
            nursery.cancel_scope.cancel()
            raise late[0].unreachable(addresses, f" ({len(late)} of {count} clients)")
        try:
            yield drivers
        finally:
            for driver in drivers:
                driver.mesh.close_all("closed")
            nursery.cancel_scope.cancel()
