"""Work that a signal ends in order: everything it started is ended by it before it returns."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from replica.stop_signals import open_stop_signals
from triskele.cli.framework import complain, only_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import FrameType

EXIT_SIGNAL: Final = 128
"""Plus the signal's number, as shells have it."""


@contextmanager
def unwound(what: str) -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, through every ``with`` and ``finally``: by default it leaves temporary files behind.

    For what is done before and after ``until_signal``; a second signal while that ends its work changes nothing.

    Args:
        what: Ends, for the line that tells it.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        if trio.lowlevel.in_trio_run():  # what ``until_signal`` was told after its first; an exception here would break Trio
            return
        complain(f"{what}: stopped by {signal.Signals(number).name}, nothing is reported")
        raise SystemExit(EXIT_SIGNAL + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
