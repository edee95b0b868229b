"""What would run in a thread of Trio's runs in order instead: when a test says so, or at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Gate:
    """Stands in for ``trio.to_thread.run_sync``: what would run in a thread runs when the test says so, or at once.

    Attributes:
        closed: whether it waits for ``let_go``.
        waits: something does.
        each: called before each run, and after it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, closed: bool = True) -> None:
        self.closed = closed
        self.waits = trio.Event()
        self.each: Callable[[], None] = lambda: None
        self._go = trio.Event()
        monkeypatch.setattr(trio.to_thread, "run_sync", self._run)
        monkeypatch.setattr("replica.persistence.POLL_SECONDS", 0)

    async def _run(self, job: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.closed:
            self.waits.set()
            await self._go.wait()
        self.each()
        result = job(*args)
        self.each()
        return result

    def let_go(self, *, closed: bool = False) -> None:
        """Let what waits go on, and close the gate behind it if wanted."""
        self.closed = closed
        self._go.set()
        self._go, self.waits = trio.Event(), trio.Event()
