"""The WebSocket link: one binary message is one frame's payload; for programs in any language.

Framing, masking, pings and closing are trio-websocket's.  Ours are a bounded outbox, one writer task, and a stream that gathers: the writer
hands the whole outbox to the library and then flushes once.  A text message is refused (``text_message``), an oversized one too
(``frame_too_large``).

A request with an ``Origin`` is refused (``web_page``): a browser sends it with every upgrade, and lets every page that it shows reach the ports of
its own machine.  For browsers there must be something in front that knows its own pages, and does not pass their ``Origin`` on.

``send``, ``flush`` and ``close`` are synchronous as every link's; the link may be used before the HTTP upgrade is done, which ``run`` does.

What the library raises for bad bytes ends this link only, by name; what ``on_frames`` raises is a bug and leaves ``run``.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import trio
import trio_websocket
import wsproto.utilities

from transport.batched_stream import RECEIVE_BYTES, BatchedStream
from transport.errors import LocalMisuse
from transport.frame import HEADER_BYTES, JOIN_BYTES_MAX
from transport.link import Link, OnClosed, OnFrames
from transport.statistics import LinkStatistics, SystemCalls

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from transport.batch import BatchPolicy
    from transport.limits import Limits
    from transport.turns import Turns

logger = logging.getLogger("triskele.transport")

CLOSING_SECONDS = 1.0
"""How long an orderly close may take to send what is queued and to exchange close frames."""

UPGRADE_BYTES = 16 * 1024
"""Allowance for the HTTP upgrade and message headers before the handshake is done."""

MESSAGES_AHEAD = 16
"""So many whole messages the library holds for a link that reads slowly."""

UNSENT_BYTES_MAX = 1024 * 1024
"""The writer stops handing messages to the library while this many bytes wait for the socket."""

CLOSE_REASONS = {
    1000: "closed_by_peer",
    1001: "closed_by_peer",
    1002: "bad_websocket_frame",
    1005: "closed_by_peer",
    1007: "bad_websocket_frame",
    1009: "frame_too_large",
}
"""{close code: our reason}; 1006 (no close frame) is told by the stream, others are ``websocket_<code>``."""

_LIBRARY_ERRORS = (
    trio_websocket.ConnectionClosed,
    trio_websocket.HandshakeError,
    wsproto.utilities.ProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
_BAD_BYTES = (*_LIBRARY_ERRORS, ValueError)
"""What the library's own tasks raise for bad bytes: it decodes headers as ASCII without asking."""


class WebSocketLink(Link):
    """A link over a connected socket that speaks WebSocket, as server or as client.

    Args:
        sock: connected, non-blocking; owned by the link from now on.
        name: for logs.
        turns: woken after received frames were handled.
        on_frames: handles received frames.
        on_closed: takes note of the end.
        policy: when a flush sends; holds have the resolution of Trio's timers.
        limits: of frames and queue.
        dialed: ``(host, path)`` of the request we make; None: we are the server.

    Close reasons of its own: ``closed_by_peer``, ``reset``, ``bad_websocket_handshake``, ``web_page``, ``bad_websocket_frame``, ``text_message``,
    ``frame_too_large``, ``out_queue_full``, ``websocket_<code>``.
    """

    __slots__ = (
        "_aborted",
        "_connection",
        "_dialed",
        "_dropped",
        "_frame_bytes_in_max",
        "_limits",
        "_oldest_at",
        "_opened",
        "_outbox",
        "_outbox_bytes",
        "_paused",
        "_paused_by_queue",
        "_policy",
        "_readable",
        "_stream",
        "_turns",
        "_work",
        "_written",
    )

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        turns: Turns,
        on_frames: OnFrames,
        on_closed: OnClosed,
        policy: BatchPolicy,
        limits: Limits,
        *,
        dialed: tuple[str, str] | None,
    ) -> None:
        """Take over the socket; nothing is said before ``run``."""
        super().__init__(name, on_frames, on_closed)
        self._turns = turns
        self._policy = policy
        self._limits = limits
        self._dialed = dialed
        self._connection: trio_websocket.WebSocketConnection | None = None
        self._outbox: deque[bytes] = deque()  # payloads not yet handed to the library
        self._outbox_bytes = 0
        self._oldest_at = 0.0
        self._dropped = 0
        self._frame_bytes_in_max = limits.frame_bytes_max
        self._paused = self._paused_by_queue = self._aborted = False
        self._opened = trio.Event()  # the upgrade is done
        self._work = trio.Event()  # the writer has something to do
        self._written = trio.Event()  # the writer is done for good
        self._readable = trio.Event()  # the receiver may go on
        self._readable.set()
        # What the writer hands over at most, and room for pongs and close frames beside it.
        self._stream = BatchedStream(sock, limits.frame_bytes_max + 2 * UNSENT_BYTES_MAX, self._blocked, self._stream_ended)
        self._bound_message()

    # ------------------------------------------------------------------------------------------------------------------------ sending

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one frame; see ``Link.send``."""
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        if len(payload) > self._limits.frame_bytes_max:
            raise LocalMisuse(f"a frame of {len(payload)} bytes is over frame_bytes_max = {self._limits.frame_bytes_max}")
        return self._queue(payload, commands)

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one encoded frame, without its header; see ``Link.send_encoded``."""
        return self._queue(buffers[0][HEADER_BYTES:] if len(buffers) == 1 else b"".join(buffers[1:]), commands)

    def _queue(self, payload: bytes, commands: int) -> bool:
        if self.close_reason is not None or self.queued_bytes + len(payload) > self._limits.out_queue_bytes_max:
            self._dropped += 1
            return False
        if self._policy.holds and not self._outbox:
            self._oldest_at = monotonic()
        self._outbox.append(payload)
        self._outbox_bytes += len(payload)
        self.frames_out += 1
        self.commands_out += commands
        return True

    def flush(self) -> None:
        """Let the writer send; see ``Link.flush``."""
        if self._outbox:
            self._work.set()
            if self._stream.blocked:
                self._push_back()

    def _push_back(self) -> None:
        """Stop reading a blocked link whose queue is long; the writer reads again when everything is out."""
        limit = self.pause_above_bytes
        if limit is not None and self.queued_bytes > limit:
            self._paused_by_queue = True
            self._update_reading()

    def _blocked(self) -> None:
        self._work.set()
        self._push_back()

    async def _write(self) -> None:
        """Send what is flushed, until the link is closed and everything is out."""
        assert self._connection is not None
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                await self._hold()
                while self._outbox:
                    await self._write_some(self._connection)
                await self._stream.drain()
                if self._paused_by_queue:
                    self._paused_by_queue = False
                    self._update_reading()
                if self.close_reason is not None:
                    break
        except _LIBRARY_ERRORS:
            if self._stream.broken != "closed_by_peer":  # then the receiver still hands up what came before the end
                self.abort(self._stream.broken or "closed_by_peer")
        self._written.set()

    async def _write_some(self, connection: trio_websocket.WebSocketConnection) -> None:
        """Hand messages to the library while they gather, then send them together."""
        self._stream.corked = True
        try:
            while self._outbox and self._stream.queued_bytes < UNSENT_BYTES_MAX:
                payload = self._outbox.popleft()
                self._outbox_bytes -= len(payload)
                await connection.send_message(payload)
        finally:
            self._stream.corked = False
        self._stream.flush()
        if self._stream.queued_bytes > JOIN_BYTES_MAX:
            await self._stream.drain()

    async def _hold(self) -> None:
        """Hold the outbox back as long as the policy says."""
        while self._policy.holds and self._outbox and self.close_reason is None:
            seconds = self._policy.hold_seconds(len(self._outbox), self._outbox_bytes, monotonic() - self._oldest_at)
            if seconds <= 0:
                return
            with trio.move_on_after(seconds):
                await self._closed.wait()

    # ---------------------------------------------------------------------------------------------------------------------- receiving

    @trio.lowlevel.enable_ki_protection
    async def _receive(self) -> None:
        """Hand up messages until the other side, the world or we end it."""
        assert self._connection is not None
        while True:
            if not self._readable.is_set():
                await self._readable.wait()
            try:
                message = await self._connection.get_message()
            except trio_websocket.ConnectionClosed as closed:
                self._lost(closed)
                return
            if self.close_reason is not None:
                return
            if isinstance(message, str):
                self.close("text_message")
                return
            if len(message) > self._frame_bytes_in_max:
                self.close("frame_too_large")
                return
            self.frames_in += 1
            self.on_frames(self, [message])
            self._turns.wake()
            self._bound_message()

    def _bound_message(self) -> None:
        """Bound what may come until the next message; more is ``frame_too_large``.

        The library keeps every fragment of a message and counts only what is in them: empty ones would come for ever.
        """
        if self._frame_bytes_in_max >= self._limits.frame_bytes_max:
            self._stream.bytes_in_max = self._stream.bytes_in + (MESSAGES_AHEAD + 2) * (self._limits.frame_bytes_max + RECEIVE_BYTES)

    def _lost(self, closed: trio_websocket.ConnectionClosed) -> None:
        """Name the end that the library reports."""
        code = None if closed.reason is None else closed.reason.code
        if self._stream.broken is not None and code in {None, 1006}:
            reason = self._stream.broken
        elif code is None or code == 1006:  # noqa: PLR2004 - the library closed the stream for a broken frame
            reason = "bad_websocket_frame"
        else:
            reason = CLOSE_REASONS.get(code, f"websocket_{code}")
        self.abort(reason)

    def pause_reading(self) -> None:
        """Stop reading; see ``Link.pause_reading``. A message or two may still come: the library holds them already."""
        self._paused = True
        self._update_reading()

    def resume_reading(self) -> None:
        """Read again; see ``Link.resume_reading``."""
        self._paused = False
        self._update_reading()

    def _update_reading(self) -> None:
        if not (self._paused or self._paused_by_queue):
            self._readable.set()
        elif self._readable.is_set():
            self._readable = trio.Event()

    def set_frame_bytes_max(self, limit: int) -> None:
        """Set the largest payload accepted; below the general limit also bounds what may come in all (a stranger's handshake)."""
        self._frame_bytes_in_max = limit
        self._stream.bytes_in_max = limit + UPGRADE_BYTES
        self._bound_message()

    # --------------------------------------------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Upgrade, receive and write until the link is closed and what was queued is out."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_library, nursery)
                await self._closed.wait()
                if not self._aborted:
                    with trio.move_on_after(CLOSING_SECONDS):
                        await self._written.wait()
                        await self._say_goodbye()
                nursery.cancel_scope.cancel()
        finally:
            self.abort("cancelled")
            self._stream.close()

    async def _run_library(self, nursery: trio.Nursery) -> None:
        """Run the library's reader; its errors end this link, and only this one."""
        try:
            async with trio.open_nursery() as library:
                self._connection = await self._upgrade(library)
                if self._connection is None:
                    self.abort("web_page")
                    return
                self._opened.set()
                nursery.start_soon(self._receive)
                nursery.start_soon(self._write)
        except* _BAD_BYTES as errors:
            logger.debug("link %s: %r", self.name, errors.exceptions)
            self.abort(self._stream.broken or ("bad_websocket_frame" if self._opened.is_set() else "bad_websocket_handshake"))

    async def _upgrade(self, library: trio.Nursery) -> trio_websocket.WebSocketConnection | None:
        """Do the HTTP upgrade; None if a web page asked for it, and was refused."""
        wrap = {"message_queue_size": MESSAGES_AHEAD, "max_message_size": self._limits.frame_bytes_max, "receive_buffer_size": RECEIVE_BYTES}
        if self._dialed is not None:
            host, path = self._dialed
            # Any Trio stream will do, whatever the annotation says.
            return await partial(trio_websocket.wrap_client_stream, library, self._stream, host, path, **wrap)()  # type: ignore[arg-type]
        request = await partial(trio_websocket.wrap_server_stream, library, self._stream, **wrap)()
        if any(name.lower() == b"origin" for name, _ in request.headers):
            await request.reject(403, body=b"not for web pages\n")
            await self._stream.drain()
            return None
        return await request.accept()

    def _stream_ended(self) -> None:
        """Note that the stream is over; before the upgrade nobody else would notice."""
        if not self._opened.is_set():
            self.abort(self._stream.broken or "bad_websocket_handshake")

    async def _say_goodbye(self) -> None:
        """Exchange close frames."""
        if self._connection is not None:
            code = {"text_message": 1003, "frame_too_large": 1009}.get(str(self.close_reason), 1000)
            await self._connection.aclose(code, str(self.close_reason)[:100])

    def close(self, reason: str) -> None:
        """Close; what is queued goes out first, within ``CLOSING_SECONDS``, while ``run`` lives."""
        if not self._opened.is_set():
            self.abort(reason)
        elif self.close_reason is None:
            self._work.set()
            self._mark_closed(reason)

    def abort(self, reason: str) -> None:
        """Close at once; see ``Link.abort``."""
        self._aborted = True
        self._outbox.clear()
        self._outbox_bytes = 0
        self._stream.close()
        if self.close_reason is None:
            self.error = self._stream.error
            self._mark_closed(reason)

    # ------------------------------------------------------------------------------------------------------------------------ numbers

    @property
    def queued_bytes(self) -> int:
        """Bytes queued; see ``Link.queued_bytes``."""
        return self._outbox_bytes + self._stream.queued_bytes

    @property
    def dropped(self) -> int:
        """Frames dropped; see ``Link.dropped``."""
        return self._dropped

    def statistics(self) -> LinkStatistics:
        """Snapshot the counters."""
        stream = self._stream
        self.bytes_in, self.bytes_out, self.frames_per_send = stream.bytes_in, stream.bytes_out, stream.messages_per_send
        syscalls = SystemCalls(send=stream.sends, receive=stream.receives, poll=2 * stream.waits)
        return self._base_statistics(syscalls, blocked=stream.blocked_sends, empty_receives=stream.empty_receives)
