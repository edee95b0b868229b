"""A Trio stream over a socket whose ``send_all`` only appends to a batcher: what a library writes in many small pieces leaves in one send.

trio-websocket calls ``send_all`` once for each message and for each ping, pong and close.  Here such a call never waits and never touches the
socket while the stream is *corked*, so one gathered send carries all messages of a turn, and a cancelled ``send_all`` cannot leave half a
message (nothing was sent yet, or all of it is queued).  What the kernel does not take is finished by ``drain``, by one task.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import trio

from transport.batch import Batcher, TurnPolicy
from transport.errors import words
from transport.statistics import HISTOGRAM_BUCKETS, new_histogram

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

RECEIVE_BYTES = 64 * 1024
PIECE_BYTES_MIN = 2 * 1024
HANDLING_SECONDS = 0.005
"""The library handles what it received without letting others run, and 64 KiB may be ten thousand frames with nothing in them (a sixth of a second
each time).  What takes longer than this is received in smaller pieces, others in between."""


class BatchedStream(trio.abc.Stream):
    """A stream over a connected socket.

    Args:
        sock: connected, non-blocking; owned by the stream.
        out_queue_bytes_max: most bytes queued; a ``send_all`` over it breaks the stream, since what it carries cannot be dropped.
        on_blocked: told that the socket is full: somebody must ``drain``.
        on_end: told once that the stream is broken, ended or closed by who uses it (see ``broken``).

    Attributes:
        corked: while True nothing is sent until ``flush``.
        bytes_in_max: None, or how many bytes may be received in all; more breaks the stream.
        broken: why the stream broke or ended (``closed_by_peer``, ``reset``, ``out_queue_full``, ``frame_too_large``); None while it is whole.
        error: the system's words for a ``reset``; empty otherwise.
    """

    def __init__(self, sock: socket.socket, out_queue_bytes_max: int, on_blocked: Callable[[], None], on_end: Callable[[], None]) -> None:
        """Take over the socket."""
        self._sock = sock
        self._batcher = Batcher(TurnPolicy(), out_queue_bytes_max)
        self._on_blocked = on_blocked
        self._on_end = on_end
        self._try_first = False  # the last receive was full: there is probably more
        self._piece_bytes = RECEIVE_BYTES  # most to receive at once
        self._handed_at: float | None = None  # when the last piece was handed up, on the steady clock
        self._closed = False
        self.corked = False
        self.blocked = False
        self.bytes_in_max: int | None = None
        self.broken: str | None = None
        self.error = ""
        self.bytes_in = self.bytes_out = self.sends = self.receives = self.waits = self.blocked_sends = self.empty_receives = 0
        self.messages_per_send = new_histogram()

    @property
    def queued_bytes(self) -> int:
        """Bytes not yet taken by the socket."""
        return self._batcher.queued_bytes

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue the data, and send it unless the stream is corked. Never waits for the other side.

        Raises:
            BrokenResourceError: the connection or the limit of the queue is broken.
            ClosedResourceError: the stream is closed.
        """
        self._check_open()
        if not self._batcher.append([bytes(data)]):
            self._break("out_queue_full")
        elif not self.corked:
            self.flush()
        self._check_open()
        # No checkpoint: it would cost more than all the rest, and the library makes one for its lock before each call.

    def flush(self) -> None:
        """Give the queue to the socket; what it does not take waits for ``drain``. Never blocks, never raises: see ``broken``."""
        batcher = self._batcher
        while batcher.queued_bytes and not self.blocked and not self._closed and self.broken in {None, "closed_by_peer"}:
            self._send_once()

    def _send_once(self) -> None:
        batcher = self._batcher
        buffers = batcher.gather()
        messages = batcher.fresh_frames
        self.sends += 1
        try:
            sent = self._sock.sendmsg(buffers)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            batcher.clear()
            self._break("reset", error)
            return
        if sent:
            self.bytes_out += sent
            self.messages_per_send[min(messages.bit_length(), HISTOGRAM_BUCKETS - 1)] += 1
        if sent < sum(map(len, buffers)):
            self.blocked_sends += 1
            self.blocked = True
            self._on_blocked()
        if sent:
            batcher.sent(sent)

    async def drain(self) -> None:
        """Send everything queued, waiting for the socket as often as needed; for one task at a time.

        Raises:
            BrokenResourceError, ClosedResourceError: as ``send_all``.
        """
        while self._batcher.queued_bytes:
            if self.blocked:
                self.waits += 1
                await trio.lowlevel.wait_writable(self._sock)
                self.blocked = False
            self._check_open()
            self.flush()
            self._check_open()

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: sending never blocks."""
        await trio.lowlevel.checkpoint()
        self._check_open()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002 - one size is best
        """Receive what is there, up to 64 KiB (less where that takes long to handle), whatever is asked for; empty at the end.

        Raises:
            BrokenResourceError, ClosedResourceError: as ``send_all``.
        """
        self._check_open()
        self._fit_piece()
        data: bytes | None = None
        if self._try_first:
            await trio.lowlevel.checkpoint()
            self._check_open()
            data = self._receive()
        while data is None:
            self.waits += 1
            await trio.lowlevel.wait_readable(self._sock)
            self._check_open()
            data = self._receive()
        self.bytes_in += len(data)
        self._try_first = len(data) == self._piece_bytes
        self._handed_at = monotonic()
        if not data:
            self._break("closed_by_peer")
        elif self.bytes_in_max is not None and self.bytes_in > self.bytes_in_max:
            self._break("frame_too_large")
            self._check_open()
        return data

    def _fit_piece(self) -> None:
        """Receive less at once if the last piece took long to handle, more if it did not."""
        if self._handed_at is not None:
            slow = monotonic() - self._handed_at > HANDLING_SECONDS
            self._piece_bytes = max(self._piece_bytes // 2, PIECE_BYTES_MIN) if slow else min(2 * self._piece_bytes, RECEIVE_BYTES)

    def _receive(self) -> bytes | None:
        self.receives += 1
        try:
            return self._sock.recv(self._piece_bytes)
        except BlockingIOError:
            self.empty_receives += 1
            return None
        except OSError as error:
            self._break("reset", error)
            self._check_open()
            return None

    def _break(self, reason: str, error: OSError | None = None) -> None:
        if self.broken is None:
            self.broken = reason
            self.error = words(error) if error is not None else ""
            self._on_end()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self.broken is not None and self.broken != "closed_by_peer":
            raise trio.BrokenResourceError(self.broken)

    def close(self) -> None:
        """Close at once; whoever waits is woken with ClosedResourceError."""
        if not self._closed:
            self._closed = True
            self._batcher.clear()
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    async def aclose(self) -> None:
        """Close after a last attempt to send what is queued."""
        self.flush()
        if not self._closed:
            self.close()
            self._on_end()
        await trio.lowlevel.checkpoint()
