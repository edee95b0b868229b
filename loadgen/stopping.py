"""Work that a signal ends in order: everything it started is ended by it before it returns."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import trio

from replica.stop_signals import open_stop_signals
from triskele.cli.framework import only_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

EXIT_SIGNAL: Final = 128
"""Plus the signal's number, as shells have it."""


async def until_signal(work: Callable[..., Awaitable[Any]], *arguments: object) -> tuple[Any, signal.Signals | None]:
    """Work until it is done, or a signal ends it.

    Returns:
        What the work returned, and None; or None, and the signal.
    """
    found: Any = None
    stopped: signal.Signals | None = None
    done = False

    async def watch(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal stopped
        stopped = signal.Signals(await anext(signals))
        scope.cancel()

    try:
        with open_stop_signals() as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, signals, nursery.cancel_scope)
                found = await work(*arguments)
                done = True
                nursery.cancel_scope.cancel()
    except ExceptionGroup as group:  # of one: the nursery has no other task that fails
        raise only_error(group) from None
    return found, None if done else stopped
