"""A userspace proxy that stands for a long line: every byte is handed on after a one-way delay, in order.

Delay only, no loss: a TCP connection over a lossy line delivers late, not less. Each direction of each connection has a queue of (due time,
bytes) between a reader and a writer task, so the delay does not limit the throughput.
"""

from __future__ import annotations

import attrs
import trio

CHUNK_BYTES = 65536
QUEUE_CHUNKS_MAX = 4096
"""Chunks on their way in one direction of one connection; at the limit the sender is not read."""


@attrs.frozen
class Proxy:
    """Forwards connections to one address.

    Args:
        target_host: where to.
        target_port: where to.
        delay_seconds: one way, each way.
    """

    target_host: str
    target_port: int
    delay_seconds: float

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen on a free loopback port until cancelled; ``started`` gives the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._forward, listeners)

    async def _forward(self, near: trio.SocketStream) -> None:
        """Carry one connection; its errors are its own."""
        try:
            far = await trio.open_tcp_stream(self.target_host, self.target_port)
        except OSError:
            await near.aclose()
            return
        async with near, far, trio.open_nursery() as nursery:
            for source, sink in ((near, far), (far, near)):
                sending, receiving = trio.open_memory_channel[tuple[float, bytes]](QUEUE_CHUNKS_MAX)
                nursery.start_soon(self._read, source, sending)
                nursery.start_soon(self._write, receiving, sink, nursery.cancel_scope)

    async def _read(self, source: trio.SocketStream, sending: trio.MemorySendChannel[tuple[float, bytes]]) -> None:
        async with sending:
            while True:
                try:
                    data = await source.receive_some(CHUNK_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    data = b""
                await sending.send((trio.current_time() + self.delay_seconds, data))
                if not data:
                    return

    async def _write(self, receiving: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream, whole: trio.CancelScope) -> None:
        """Write what is due; the end of one direction is handed on, a broken one ends the connection."""
        async with receiving:
            async for due, data in receiving:
                await trio.sleep_until(due)
                try:
                    await (sink.send_all(data) if data else sink.send_eof())
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    whole.cancel()
