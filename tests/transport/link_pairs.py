"""Two connected links of any kind, each end with its own hub and turns, and a record of what it was told."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from transport.batch import TurnPolicy
from transport.fabric import Fabric
from transport.hub import Hub
from transport.limits import Limits
from transport.memory import MemoryLink
from transport.tcp import TcpLink
from transport.turns import Turns
from transport.websocket import WebSocketLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transport.batch import BatchPolicy
    from transport.link import Link

KINDS = ["native", "websocket", "memory"]
SMALL_SOCKET_BYTES = 8192
"""A socket buffer so small that sends of more are partial."""


class End:
    """One end: a link, what it handed up, why it closed."""

    link: Link

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.bursts: list[int] = []  # frames of each hand-over
        self.closed: list[str] = []
        self.turns = Turns(self._end_turn)
        self.hub = Hub(self.turns)
        self.on_turn: Callable[[], None] = lambda: None
        self.on_burst: Callable[[list[bytes]], None] = lambda _: None
        self.scope = trio.CancelScope()  # of the link's own task
        self.left_run = trio.Event()
        self._news = trio.Event()

    def _end_turn(self) -> None:
        self.on_turn()

    async def run_link(self) -> None:
        with self.scope:
            await self.link.run()
        self.left_run.set()

    def on_frames(self, link: Link, frames: list[bytes]) -> None:
        assert link.close_reason is None, "handed up after the end"
        self.frames += frames
        self.bursts.append(len(frames))
        self.on_burst(frames)
        self._tell()

    def on_closed(self, _: Link, reason: str) -> None:
        self.closed.append(reason)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that this end is told makes the condition true."""
        with trio.fail_after(20):
            while not condition():
                await self._news.wait()

    async def until_frames(self, count: int) -> list[bytes]:
        await self.until(lambda: len(self.frames) >= count)
        return self.frames

    async def until_closed(self) -> str:
        await self.until(lambda: bool(self.closed))
        return self.closed[0]


@attrs.define
class Pair:
    left: End
    right: End
    nursery: trio.Nursery
    fabric: Fabric


def connected_sockets(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Give both ends of a TCP connection over loopback."""
    with socket.socket() as listener:
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_SOCKET_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        left = socket.socket()
        if small:
            left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_SOCKET_BYTES)
        left.connect(listener.getsockname())
        right, _ = listener.accept()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


async def make_links(kind: str, pair: Pair, limits: Limits, policy: BatchPolicy, *, small: bool) -> None:
    left, right = pair.left, pair.right
    if kind == "memory":
        listener = pair.fabric.listen("right")
        wire = await pair.fabric.dial("right", "left")
        other, _ = await listener.accept()
        right.link = MemoryLink(other, "right", right.turns, right.on_frames, right.on_closed, policy, limits)
        listener.close()
        left.link = MemoryLink(wire, "left", left.turns, left.on_frames, left.on_closed, policy, limits)
        return
    near, far = connected_sockets(small=small)
    if kind == "native":
        left.link = TcpLink(near, "left", left.hub, left.on_frames, left.on_closed, policy, limits)
        right.link = TcpLink(far, "right", right.hub, right.on_frames, right.on_closed, policy, limits)
    else:
        left.link = WebSocketLink(near, "left", left.turns, left.on_frames, left.on_closed, policy, limits, dialed=("right", "/"))
        right.link = WebSocketLink(far, "right", right.turns, right.on_frames, right.on_closed, policy, limits, dialed=None)


@asynccontextmanager
async def open_pair(kind: str, *, limits: Limits | None = None, policy: BatchPolicy | None = None, small: bool = False) -> AsyncIterator[Pair]:
    """Open two connected links; what a background task raises leaves this block."""
    async with trio.open_nursery() as nursery:
        pair = Pair(End(), End(), nursery, Fabric())
        await make_links(kind, pair, limits or Limits(), policy or TurnPolicy(), small=small)
        for end in (pair.left, pair.right):
            nursery.start_soon(end.hub.run)
            nursery.start_soon(end.turns.run)
            nursery.start_soon(end.run_link)
        yield pair
        nursery.cancel_scope.cancel()
