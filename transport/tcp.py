"""The native link: frames over a non-blocking TCP socket, read and written by the hub.

Burst receive: one ``recv`` of 64 KiB takes what is there (a short one saves the ``recv`` that would find nothing; larger buffers cost page
faults at each call, measured: 23 us for 256 KiB against 5), more only while the buffer comes back full and the burst budget lasts.  Gathered
send: one ``send`` or ``sendmsg`` for each flush; what the kernel does not take stays in the batcher and goes when the hub sees the socket
writable.  The socket is in the hub's epoll for reading always (unless paused), for writing only while it is full.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import TYPE_CHECKING

from transport.batch import Batcher, BatchPolicy
from transport.errors import words
from transport.frame import PREAMBLE, FrameDecoder, FrameError, encode
from transport.link import Link, OnClosed, OnFrames
from transport.statistics import HISTOGRAM_BUCKETS, LinkStatistics, SystemCalls

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from transport.hub import Hub
    from transport.limits import Limits

RECEIVE_BYTES = 64 * 1024
_LAST_BUCKET = HISTOGRAM_BUCKETS - 1


class TcpLink(Link):
    """A native link over a connected stream socket.

    Args:
        sock: connected, non-blocking; owned by the link from now on.
        name: for logs.
        hub: reads and writes the socket.
        on_frames: handles received frames, inside the hub's turn.
        on_closed: takes note of the end.
        policy: when a flush sends.
        limits: of frames, queue and bursts.

    The preamble is queued first. Close reasons of its own: ``closed_by_peer``, ``truncated``, ``reset`` and the reasons of ``FrameError``.
    """

    __slots__ = (
        "_backlog",
        "_batcher",
        "_blocked",
        "_burst_bytes_max",
        "_burst_frames_max",
        "_decoder",
        "_dropped_closed",
        "_frame_bytes_max",
        "_hub",
        "_interest",
        "_paused",
        "_paused_by_queue",
        "_recv",
        "_sock",
        "_untold",
        "_watched",
        "blocked_sends",
        "empty_receives",
        "fd",
        "receives",
        "sends",
    )

    def __init__(
        self, sock: socket.socket, name: str, hub: Hub, on_frames: OnFrames, on_closed: OnClosed, policy: BatchPolicy, limits: Limits
    ) -> None:
        """Take over the socket and register with the hub."""
        super().__init__(name, on_frames, on_closed)
        self._sock = sock
        self._recv = sock.recv
        self._hub = hub
        self._frame_bytes_max = limits.frame_bytes_max
        self._burst_bytes_max = limits.burst_bytes_max
        self._burst_frames_max = limits.burst_frames_max
        self._decoder = FrameDecoder(limits.frame_bytes_max)
        self._batcher = Batcher(policy, limits.out_queue_bytes_max + len(PREAMBLE))
        self._watched = policy.holds  # the policy is asked at flushes and told of sends; if not, no clock is read
        self._untold = 0  # sends that are still to be kept from the policy
        self._backlog: list[bytes] = []  # frames received over the burst budget, for the next turns
        self._blocked = False  # the socket is full: the hub waits for it to be writable
        self._paused = False  # by pause_reading
        self._paused_by_queue = False  # by pause_above_bytes
        self._dropped_closed = 0
        self.sends = self.receives = self.blocked_sends = self.empty_receives = 0
        self._batcher.append([PREAMBLE])
        self._batcher.fresh_frames = 0
        self._interest = select.EPOLLIN
        self.fd = sock.fileno()
        hub.add(self)

    # ------------------------------------------------------------------------------------------------------------------------ sending

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one frame; see ``Link.send``."""
        return self.send_encoded(encode(parts, self._frame_bytes_max), commands)

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one encoded frame; see ``Link.send_encoded``."""
        if self.close_reason is not None:
            self._dropped_closed += 1
            return False
        if self._batcher.append(buffers, monotonic() if self._watched else 0.0):
            self.frames_out += 1
            self.commands_out += commands
            return True
        return False

    def flush(self) -> None:
        """Send the queue with one system call, if the socket takes it; see ``Link.flush``."""
        batcher = self._batcher
        if self._blocked:
            self._push_back()
            return
        if not batcher.queued_bytes:
            return
        if self._watched:
            now = monotonic()
            seconds = batcher.hold_seconds(now)
            if seconds > 0:
                self._hub.hold(self, now + seconds)
                return
        self._transmit()

    def release(self) -> None:
        """Send the queue, held back or not; called by the hub when there is nothing else to do."""
        if not self._blocked and self._batcher.queued_bytes:
            self._transmit()

    def _transmit(self) -> None:
        """Give the queue to the socket until it is empty or the socket is full."""
        batcher = self._batcher
        while True:
            buffers = batcher.gather()
            frames = batcher.fresh_frames
            self.sends += 1
            begun = monotonic() if self._watched else 0.0
            try:
                sent = self._sock.send(next(iter(buffers))) if len(buffers) == 1 else self._sock.sendmsg(buffers)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._break(error)
                return
            if sent:
                self.bytes_out += sent
                self.frames_per_send[min(frames.bit_length(), _LAST_BUCKET)] += 1
                if self._watched:
                    self._tell_policy(frames, sent, begun)
                elif frames and self._untold:
                    self._untold -= 1
                    self._watched = not self._untold
                if sent == batcher.queued_bytes:
                    batcher.sent(sent)
                    if self._blocked:
                        self._unblock()
                    return
                offered = sum(map(len, buffers))
                batcher.sent(sent)
                if sent == offered:
                    continue
            self._block()
            return

    def _tell_policy(self, frames: int, sent: int, begun: float) -> None:
        """Tell the policy of a send, and look away for as many as it says."""
        now = monotonic()
        self._untold = self._batcher.policy.sent(frames, sent, now - begun, now)
        self._watched = not self._untold

    def _block(self) -> None:
        self.blocked_sends += 1
        self._blocked = True
        self._push_back()

    def _push_back(self) -> None:
        """Stop reading a blocked link whose queue is long, read again when it is short."""
        limit = self.pause_above_bytes
        if limit is not None:
            queued = self._batcher.queued_bytes
            if queued > limit:
                self._paused_by_queue = True
            elif self._paused_by_queue and queued <= limit // 2:
                self._paused_by_queue = False
                if self._backlog:
                    self._hub.again(self)
        self._update_interest()

    def _unblock(self) -> None:
        self._blocked = self._paused_by_queue = False
        self._update_interest()
        if self._backlog:
            self._hub.again(self)

    def on_writable(self) -> None:
        """Go on sending; called by the hub."""
        self._transmit()

    # ---------------------------------------------------------------------------------------------------------------------- receiving

    def on_readable(self) -> None:
        """Receive one burst and hand its frames up; called by the hub."""
        if self._backlog:
            return  # the hub will call again() first
        try:
            data = self._recv(RECEIVE_BYTES)
        except BlockingIOError:
            self.receives += 1
            self.empty_receives += 1
            return
        except OSError as error:
            self.receives += 1
            self._break(error)
            return
        self.receives += 1
        size = len(data)
        self.bytes_in += size
        try:
            if size == RECEIVE_BYTES:
                frames = self._receive_more(data)
            elif size:
                frames = self._decoder.feed(data)
            else:
                self._decoder.end()
                self.abort("reset" if self.error else "closed_by_peer")
                return
        except FrameError as error:
            frames = error.frames[: self._burst_frames_max]
            self.frames_in += len(frames)
            if frames:
                self.on_frames(self, frames)
            self.abort(error.reason)
            return
        if frames:
            if len(frames) > self._burst_frames_max:
                self._backlog = frames
                self.on_again()
                return
            self.frames_in += len(frames)
            self.on_frames(self, frames)

    def _receive_more(self, data: bytes) -> list[bytes]:
        """Go on receiving after a full buffer: there is probably more."""
        frames = self._decoder.feed(data)
        received = len(data)
        while received < self._burst_bytes_max and len(frames) <= self._burst_frames_max:
            self.receives += 1
            try:
                data = self._recv(RECEIVE_BYTES)
            except BlockingIOError:
                self.empty_receives += 1
                break
            except OSError as error:
                self.error = words(error)  # which the system says once: the next burst finds an end
                break
            if not data:
                break  # the next burst will tell
            received += len(data)
            self.bytes_in += len(data)
            try:
                frames += self._decoder.feed(data)
            except FrameError as error:
                error.frames[:0] = frames
                raise
            if len(data) < RECEIVE_BYTES:
                break
        return frames

    def on_again(self) -> None:
        """Hand up the next frames of the backlog; called by the hub, once a turn."""
        if self._paused or self._paused_by_queue or self.close_reason is not None:
            return
        frames = self._backlog[: self._burst_frames_max]
        del self._backlog[: self._burst_frames_max]
        if self._backlog:
            self._hub.again(self)
        self.frames_in += len(frames)
        self.on_frames(self, frames)

    def pause_reading(self) -> None:
        """Stop reading; see ``Link.pause_reading``."""
        self._paused = True
        self._update_interest()

    def resume_reading(self) -> None:
        """Read again; see ``Link.resume_reading``."""
        self._paused = False
        self._update_interest()
        if self._backlog:
            self._hub.again(self)

    def _update_interest(self) -> None:
        if self.close_reason is not None:
            return
        interest = 0 if self._paused or self._paused_by_queue else select.EPOLLIN
        if self._blocked:
            interest |= select.EPOLLOUT
        if interest != self._interest:
            self._interest = interest
            self._hub.set_interest(self, interest)

    # ------------------------------------------------------------------------------------------------------------------------ closing

    def close(self, reason: str) -> None:
        """Close after a last attempt to send; see ``Link.close``."""
        if self.close_reason is None and self._batcher.queued_bytes and not self._blocked:
            self._transmit()
        self.abort(reason)

    def _break(self, error: OSError) -> None:
        self.error = words(error)
        self.abort("reset")

    def abort(self, reason: str) -> None:
        """Close at once; see ``Link.abort``."""
        if self.close_reason is not None:
            return
        self._batcher.clear()
        self._backlog = []
        self._hub.remove(self)
        self._sock.close()
        self._mark_closed(reason)

    # ------------------------------------------------------------------------------------------------------------------------ numbers

    @property
    def queued_bytes(self) -> int:
        """Bytes queued; see ``Link.queued_bytes``."""
        return self._batcher.queued_bytes

    @property
    def holds_only_while_busy(self) -> bool:
        """Whether what the link holds back leaves when the process has nothing else to do; read by the hub."""
        return self._batcher.policy.only_while_busy

    @property
    def batch_delay_seconds(self) -> float:
        """How long the queue is held at present."""
        return self._batcher.policy.delay_seconds

    @property
    def dropped(self) -> int:
        """Frames dropped; see ``Link.dropped``."""
        return self._batcher.dropped + self._dropped_closed

    def set_frame_bytes_max(self, limit: int) -> None:
        """Set the largest payload accepted; see ``Link.set_frame_bytes_max``."""
        self._decoder.frame_bytes_max = limit

    def statistics(self) -> LinkStatistics:
        """Snapshot the counters."""
        syscalls = SystemCalls(send=self.sends, receive=self.receives)
        return self._base_statistics(syscalls, blocked=self.blocked_sends, empty_receives=self.empty_receives)
