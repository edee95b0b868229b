"""The in-memory link, for tests: the same contract over the fabric, in one nursery, with any clock.

Frames are delivered by the link's own task (``run``), in the nursery of who receives them: what a receiver raises ends its nursery, not the
sender's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from transport.errors import LocalMisuse
from transport.fault_points import reach
from transport.frame import HEADER_BYTES
from transport.link import Link, OnClosed, OnFrames
from transport.statistics import HISTOGRAM_BUCKETS, LinkStatistics, SystemCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transport.batch import BatchPolicy
    from transport.fabric import Conduit
    from transport.limits import Limits
    from transport.turns import Turns


class MemoryLink(Link):
    """A link over a conduit.

    Args:
        conduit: one end of a connection of the fabric; owned by the link.
        name: for logs.
        turns: woken after received frames were handled.
        on_frames: handles received frames.
        on_closed: takes note of the end.
        policy: when a flush sends.
        limits: of frames, queue and bursts.
    """

    __slots__ = (
        "_changed",
        "_conduit",
        "_dropped",
        "_flush_at",
        "_frame_bytes_in_max",
        "_limits",
        "_oldest_at",
        "_outbox",
        "_outbox_bytes",
        "_paused",
        "_paused_by_queue",
        "_policy",
        "_turns",
    )

    def __init__(
        self, conduit: Conduit, name: str, turns: Turns, on_frames: OnFrames, on_closed: OnClosed, policy: BatchPolicy, limits: Limits
    ) -> None:
        """Take over the conduit; nothing is received before ``run``."""
        super().__init__(name, on_frames, on_closed)
        self._conduit = conduit
        self._turns = turns
        self._policy = policy
        self._limits = limits
        self._outbox: list[bytes] = []  # queued, not flushed
        self._outbox_bytes = 0
        self._oldest_at = 0.0
        self._flush_at = math.inf  # when the policy lets the outbox go
        self._dropped = 0
        self._frame_bytes_in_max = limits.frame_bytes_max
        self._paused = self._paused_by_queue = False
        self._changed = trio.Event()  # run has something new to think about
        conduit.on_arrival = self._stir
        conduit.on_taken = self._on_taken

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one frame; see ``Link.send``."""
        payload = b"".join(parts)
        if len(payload) > self._limits.frame_bytes_max:
            raise LocalMisuse(f"a frame of {len(payload)} bytes is over frame_bytes_max = {self._limits.frame_bytes_max}")
        if self.close_reason is not None or self.queued_bytes + len(payload) > self._limits.out_queue_bytes_max:
            self._dropped += 1
            return False
        if self._policy.holds and not self._outbox:
            self._oldest_at = trio.current_time()
        self._outbox.append(payload)
        self._outbox_bytes += len(payload)
        self.frames_out += 1
        self.commands_out += commands
        return True

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one encoded frame, without its header; see ``Link.send_encoded``."""
        return self.send((b"".join(buffers)[HEADER_BYTES:],), commands)

    def flush(self) -> None:
        """Put the queue into the fabric; see ``Link.flush``."""
        if not self._outbox:
            return
        if self._policy.holds:
            now = trio.current_time()
            seconds = self._policy.hold_seconds(len(self._outbox), self._outbox_bytes, now - self._oldest_at)
            if seconds > 0:
                self._flush_at = now + seconds
                self._stir()
                return
        self._transmit()

    def _transmit(self) -> None:
        reach("memory.transmit")
        self._flush_at = math.inf
        frames, self._outbox = self._outbox, []
        self._outbox_bytes = 0
        self.frames_per_send[min(len(frames).bit_length(), HISTOGRAM_BUCKETS - 1)] += 1
        for payload in frames:
            self.bytes_out += len(payload)
            self._conduit.put(payload)
        if self.pause_above_bytes is not None and self.queued_bytes > self.pause_above_bytes:
            self._paused_by_queue = True

    def _on_taken(self) -> None:
        if self._paused_by_queue and self.queued_bytes <= (self.pause_above_bytes or 0) // 2:
            self._paused_by_queue = False
            self._stir()

    def _stir(self) -> None:
        self._changed.set()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Deliver what arrives until the link is closed."""
        try:
            while self.close_reason is None:
                due = math.inf if self._paused or self._paused_by_queue else self._conduit.next_due()
                with trio.move_on_at(min(due, self._flush_at)):
                    await self._changed.wait()
                self._changed = trio.Event()
                if self._outbox and self._flush_at <= trio.current_time():
                    self._transmit()
                if not self._paused and not self._paused_by_queue:
                    self._deliver()
        finally:
            self.abort("cancelled")

    def _deliver(self) -> None:
        reach("memory.deliver")
        frames, closed = self._conduit.take(trio.current_time(), self._limits.burst_frames_max)
        too_large = next((place for place, payload in enumerate(frames) if len(payload) > self._frame_bytes_in_max), None)
        if too_large is not None:
            del frames[too_large:]
        if frames:
            self.frames_in += len(frames)
            self.bytes_in += sum(map(len, frames))
            self.on_frames(self, frames)
            self._turns.wake()
        if too_large is not None:
            self.close("frame_too_large")
        if closed:
            self.abort("closed_by_peer")

    def pause_reading(self) -> None:
        """Stop reading; see ``Link.pause_reading``."""
        self._paused = True

    def resume_reading(self) -> None:
        """Read again; see ``Link.resume_reading``."""
        self._paused = False
        self._stir()

    def close(self, reason: str) -> None:
        """Close after sending what is queued; see ``Link.close``."""
        if self.close_reason is None and self._outbox:
            self._transmit()
        self.abort(reason)

    def abort(self, reason: str) -> None:
        """Close at once; see ``Link.abort``."""
        if self.close_reason is None:
            self._outbox.clear()
            self._outbox_bytes = 0
            self._conduit.close()
            self._mark_closed(reason)
            self._stir()

    @property
    def queued_bytes(self) -> int:
        """Bytes queued or on their way; see ``Link.queued_bytes``."""
        return self._outbox_bytes + self._conduit.queued_bytes

    @property
    def dropped(self) -> int:
        """Frames dropped; see ``Link.dropped``."""
        return self._dropped

    def set_frame_bytes_max(self, limit: int) -> None:
        """Set the largest payload accepted; see ``Link.set_frame_bytes_max``."""
        self._frame_bytes_in_max = limit

    def statistics(self) -> LinkStatistics:
        """Snapshot the counters; no system calls here."""
        return self._base_statistics(SystemCalls())
