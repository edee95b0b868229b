"""What goes into the next send of a link, and when. Pure: told the time, touches no socket.

A ``Batcher`` owns one link's queue of encoded frames.  The *policy* says how long a flush may hold the queue back; the batcher gathers: small
buffers are joined (64 x 150 B: 2.1 us joined, 4.5 us as 64 buffers of one ``sendmsg``), large ones are handed over as they are.  What a
partial send left stays at the front, so a frame is never cut and never overtaken.

A frame that does not fit under ``out_queue_bytes_max`` is refused whole: who queues decides what a missing frame means (peers catch up,
clients are not read any more until their queue has room).

The idea is NIC drivers' (gather lists, doorbell once, interrupt moderation).  What must not live here: sockets, clocks, frames' contents.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from transport.errors import LocalMisuse
from transport.frame import JOIN_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

IOV_MAX = 1024
"""Most buffers one ``sendmsg`` takes (Linux, IOV_MAX)."""

SEND_BYTES_MAX = 1024 * 1024
"""Most bytes gathered for one send; a socket's buffer holds little more, and what it refuses would be gathered again."""

OUT_QUEUE_BYTES_MAX = 64 * 1024 * 1024
"""Default limit of a link's queue in bytes."""

FULL_BYTES = 64 * 1024
"""A queue of this size is worth a send of its own: cost per byte is flat from there."""

Buffer = bytes | memoryview


class BatchPolicy(Protocol):
    """Says how long a link's queue may be held back for more to come."""

    @property
    def holds(self) -> bool:
        """Whether the policy ever holds; if not, links never read the clock and tell nothing of their sends."""

    @property
    def only_while_busy(self) -> bool:
        """Whether what is held leaves as soon as the process has nothing else to do."""

    @property
    def delay_seconds(self) -> float:
        """How long a queue is held at present."""

    def for_link(self) -> BatchPolicy:
        """Give the policy for one more link: one that all share, or, if it has state, a new one."""

    def hold_seconds(self, queued_frames: int, queued_bytes: int, oldest_age_seconds: float) -> float:
        """Decide at a flush.

        Args:
            queued_frames: frames waiting.
            queued_bytes: bytes waiting, at least one.
            oldest_age_seconds: how long the first of them has waited.

        Returns:
            Seconds to wait before asking again; 0 or less: send now.
        """

    def sent(self, frames: int, count: int, cost_seconds: float, now: float) -> int:
        """Take note of a send.

        Args:
            frames: queued since the send before; 0: this was the rest of it.
            count: bytes that the kernel took.
            cost_seconds: what the system call took.
            now: when it was done, seconds on the clock of ``Batcher.append``.

        Returns:
            How many sends of fresh frames the link must keep to itself now: for these it reads no clock and asks for no hold.
        """


class TurnPolicy:
    """Sends when the turn ends: the turn itself is the batch, at no delay."""

    __slots__ = ()
    holds = only_while_busy = False
    delay_seconds = 0.0

    def for_link(self) -> TurnPolicy:
        """Share this one: it has no state."""
        return self

    def sent(self, frames: int, count: int, cost_seconds: float, now: float) -> int:  # noqa: ARG002
        """Learn nothing."""
        return 0

    def hold_seconds(self, queued_frames: int, queued_bytes: int, oldest_age_seconds: float) -> float:  # noqa: ARG002
        """Never hold."""
        return 0.0


class FixedPolicy:
    """Holds each queue until its oldest frame is ``delay_seconds`` old, or it is large enough that waiting cannot make it cheaper.

    Args:
        delay_seconds: 0 or more; below 1 ms is the sensible range.
        full_bytes: a queue of this size is sent at once (cost per byte is flat from there).
    """

    __slots__ = ("delay_seconds", "full_bytes", "holds")
    only_while_busy = False

    def __init__(self, delay_seconds: float, full_bytes: int = FULL_BYTES) -> None:
        """Refuse a negative delay."""
        if delay_seconds < 0:
            message = f"delay_seconds = {delay_seconds} is negative"
            raise LocalMisuse(message)
        self.delay_seconds = delay_seconds
        self.full_bytes = full_bytes
        self.holds = delay_seconds > 0

    def for_link(self) -> FixedPolicy:
        """Share this one: it has no state."""
        return self

    def sent(self, frames: int, count: int, cost_seconds: float, now: float) -> int:  # noqa: ARG002
        """Learn nothing."""
        return 0

    def hold_seconds(self, queued_frames: int, queued_bytes: int, oldest_age_seconds: float) -> float:  # noqa: ARG002
        """Hold for what is left of the delay."""
        return 0.0 if queued_bytes >= self.full_bytes else self.delay_seconds - oldest_age_seconds


class Batcher:
    """One link's queue of encoded frames.

    Args:
        policy: when to send.
        out_queue_bytes_max: most bytes queued, framing included.

    Attributes:
        queued_bytes: bytes not yet taken by a send.
        fresh_frames: frames appended since the last send; what a send's histogram counts.
        dropped: frames refused because the queue was full.

    Invariants:
        What sends took, in order, is exactly the accepted frames' bytes, in order. ``0 <= queued_bytes <= out_queue_bytes_max``.
    """

    __slots__ = ("_oldest_at", "_queue", "dropped", "fresh_frames", "out_queue_bytes_max", "policy", "queued_bytes")

    def __init__(self, policy: BatchPolicy, out_queue_bytes_max: int = OUT_QUEUE_BYTES_MAX) -> None:
        """Start empty."""
        self.policy = policy
        self.out_queue_bytes_max = out_queue_bytes_max
        self.queued_bytes = 0
        self.fresh_frames = 0
        self.dropped = 0
        self._queue: deque[Buffer] = deque()
        self._oldest_at = 0.0  # when the first fresh frame was appended

    def append(self, buffers: Sequence[bytes], now: float = 0.0) -> bool:
        """Queue one encoded frame.

        Args:
            buffers: the frame's bytes in order (``frame.encode``).
            now: seconds on any steady clock; needed only if the policy holds.

        Returns:
            False if the queue is full: nothing of the frame was taken, and it is counted as dropped.
        """
        size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        if self.queued_bytes + size > self.out_queue_bytes_max:
            self.dropped += 1
            return False
        if not self.fresh_frames:
            self._oldest_at = now
        self._queue.extend(buffers)
        self.queued_bytes += size
        self.fresh_frames += 1
        return True

    def hold_seconds(self, now: float) -> float:
        """Ask the policy about the queue, which must not be empty; 0 or less: send now."""
        if not self.fresh_frames:
            return 0.0
        return self.policy.hold_seconds(self.fresh_frames, self.queued_bytes, now - self._oldest_at)

    def gather(self) -> Collection[Buffer]:
        """Give the buffers of the next send, from the front of the queue.

        Returns:
            One buffer or up to IOV_MAX of them, about SEND_BYTES_MAX bytes at most unless one buffer is larger; empty if nothing is queued.
            Tell ``sent`` how much of it was taken.
        """
        queue = self._queue
        if len(queue) <= 1:
            return queue
        if self.queued_bytes <= JOIN_BYTES_MAX:
            joined = b"".join(queue)
            queue.clear()
            queue.append(joined)
            return queue
        return self._gather_large()

    def sent(self, count: int) -> None:
        """Forget the first ``count`` bytes of the queue: a send took them. They are at most what ``gather`` gave."""
        self.fresh_frames = 0
        queue = self._queue
        if count == self.queued_bytes:
            queue.clear()
            self.queued_bytes = 0
            return
        self.queued_bytes -= count
        while count:
            size = len(queue[0])
            if size > count:
                queue[0] = memoryview(queue[0])[count:]
                return
            queue.popleft()
            count -= size

    def clear(self) -> None:
        """Forget everything queued: the link is over."""
        self._queue.clear()
        self.queued_bytes = self.fresh_frames = 0

    def _gather_large(self) -> list[Buffer]:
        """Join runs of small buffers at the front of the queue, leave large ones; the queue's front becomes what is returned."""
        queue = self._queue
        gathered: list[Buffer] = []
        small: list[Buffer] = []
        small_bytes = total = taken = 0
        for buffer in queue:
            size = len(buffer)
            if total + size > SEND_BYTES_MAX and taken:
                break
            taken += 1
            total += size
            if size + small_bytes <= JOIN_BYTES_MAX:
                small.append(buffer)
                small_bytes += size
                continue
            if small:
                gathered.append(small[0] if len(small) == 1 else b"".join(small))
            if size <= JOIN_BYTES_MAX:
                small = [buffer]
                small_bytes = size
            else:
                small = []
                small_bytes = 0
                gathered.append(buffer)
            if len(gathered) >= IOV_MAX - 1:
                break
        if small:
            gathered.append(small[0] if len(small) == 1 else b"".join(small))
        if taken > len(gathered):
            rest = list(islice(queue, taken, None))
            queue.clear()
            queue.extend(gathered)
            queue.extend(rest)
        return gathered
