"""A userspace proxy for one line: whoever sits at ``near`` dials it, and it dials the replica at ``far``.

Each direction of each connection has a queue of (due time, bytes) between a reader and a writer task, so that a delay does not limit the throughput;
what the network says of the way is asked piece by piece.  A connection that cannot be opened now is accepted and left waiting: that is what a
dialer sees of a host behind a broken line, since its own system answers for nobody.
"""

from __future__ import annotations

import random
import socket
import struct
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from triskele.chaos.network import Network, Way

CHUNK_BYTES = 65536
QUEUE_CHUNKS_MAX = 4096
"""Pieces on their way in one direction of one connection; at the limit the sender is not read."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends a reset, not an end."""
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

_Piece = tuple[float, bytes]


@attrs.frozen
class Proxy:
    """Carries the connections that one place opens to another.

    Attributes:
        near: Who dials, a replica's id or ``CLIENTS``.
        far: The replica that is dialed.
        host, port: Where it listens.
        network: What becomes of the bytes.
        chance: For what differs between connections.
    """

    near: int
    far: int
    host: str
    port: int
    network: Network
    chance: random.Random = attrs.Factory(lambda: random.Random(0))

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on a free loopback port until cancelled; ``started`` gives the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._accepted, listeners)

    async def _accepted(self, near: trio.SocketStream) -> None:
        """Carry one connection; its errors are its own."""
        async with near:
            await self.network.passable((self.near, self.far), (self.far, self.near), also_swallowed=True)
            try:
                far = await trio.open_tcp_stream(self.host, self.port)
            except OSError:
                return
            async with far:
                await Carried(self.near, self.far, near, far, self.network, self.chance.random()).run()


@attrs.define(eq=False)
class Carried:
    """One connection.

    Attributes:
        near, far: The places of its ends.
        share: Its part of a delay's spread, 0 to 1.
        holed: Bytes of it were swallowed.
    """

    near: int
    far: int
    _near_stream: trio.SocketStream
    _far_stream: trio.SocketStream
    _network: Network
    share: float
    holed: bool = False
    _stranded: bool = False
    _scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    async def run(self) -> None:
        """Carry it until both directions have ended, or one is broken."""
        self._network.connections.add(self)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    directions = (
                        ((self.near, self.far), self._near_stream, self._far_stream),
                        ((self.far, self.near), self._far_stream, self._near_stream),
                    )
                    for way, source, sink in directions:
                        sending, receiving = trio.open_memory_channel[_Piece](QUEUE_CHUNKS_MAX)
                        nursery.start_soon(self._read, way, source, sending)
                        nursery.start_soon(self._write, way, receiving, sink)
        finally:
            self._network.connections.discard(self)

    def cut(self) -> None:
        """End it at once, both ends with a reset."""
        _reset(self._near_stream)
        _reset(self._far_stream)
        self._scope.cancel()

    def strand(self, *, near: bool) -> None:
        """End one end at once, with a reset; what it had sent still arrives at the other."""
        self._stranded = True
        stream = self._near_stream if near else self._far_stream
        _reset(stream)
        stream.socket.close()

    async def _read(self, way: Way, source: trio.SocketStream, sending: trio.MemorySendChannel[_Piece]) -> None:
        async with sending:
            while True:
                try:
                    data = bytes(await source.receive_some(CHUNK_BYTES))
                except _GONE:
                    data = b""
                delay = self._network.delay(way, self.share)
                await sending.send((trio.current_time() + delay, data))
                if not data:
                    return

    async def _write(self, way: Way, receiving: trio.MemoryReceiveChannel[_Piece], sink: trio.SocketStream) -> None:
        """Write what is due; the end of one direction is handed on, a broken one ends the connection unless it is stranded."""
        async with receiving:
            async for due, data in receiving:
                await trio.sleep_until(due)
                await self._network.passable(way)
                if self._network.swallows(way):
                    self.holed = True
                    continue
                try:
                    await (sink.send_all(data) if data else sink.send_eof())
                except _GONE:
                    if not self._stranded:
                        self._scope.cancel()
                        return
                    continue  # this end is gone: what is sent to it goes nowhere, what it had sent is not yet there
        if self._stranded:
            self._scope.cancel()


def _reset(stream: trio.SocketStream) -> None:
    """Let closing tell the other end at once that all is lost."""
    if stream.socket.fileno() >= 0:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
