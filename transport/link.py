"""The link contract: what every kind of link promises, whatever carries it.

A link moves whole frames between two ends, in order.  It is synchronous on purpose: ``send`` queues, ``flush`` gives the queue to the world
without ever waiting, received frames come by a callback.  So a turn (receive, handle, send) contains no checkpoint, and nothing can be
cancelled in its middle.  What may take time (finishing a partial send, a WebSocket's writer) happens in ``run`` or in the hub.

Promises of every link, shown by tests/transport/test_link_conformance.py:

- frames arrive whole and in the order sent, or the link closes;
- ``send`` takes a frame whole or drops it whole (False, counted);
- ``flush`` never blocks; memory is bounded by the limits;
- ``on_closed`` is called exactly once with a reason, at both ends, and nothing is handed up afterwards;
- a link whose sending was cut short is closed, never continued.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import trio

from transport.statistics import LinkStatistics, SystemCalls, new_histogram

OnFrames = Callable[["Link", list[bytes]], None]
"""Handles the frames one burst brought; must not await and must not close *other* links' turn: it runs inside the turn."""

OnClosed = Callable[["Link", str], None]
"""Takes note that the link is closed. It may be called from inside ``send``, ``flush`` or ``close``: note it and act later."""


class Link(ABC):
    """One end of a link. Subclasses carry the bytes.

    Args:
        name: for logs, such as ``tcp:127.0.0.1:51234``.
        on_frames: handles received frames.
        on_closed: takes note of the end.

    Attributes:
        on_frames: may be replaced at any time (a handshake hands over to its mesh so).
        close_reason: None while the link is open.
        error: the system's words for what broke it; empty while nothing did, or where it ended otherwise.
        pause_above_bytes: None, or the queue length in bytes above which a blocked link stops reading until it has drained to half of it.
    """

    __slots__ = (
        "_closed",
        "bytes_in",
        "bytes_out",
        "close_reason",
        "commands_in",
        "commands_out",
        "error",
        "frames_in",
        "frames_out",
        "frames_per_send",
        "name",
        "on_closed",
        "on_frames",
        "pause_above_bytes",
    )

    def __init__(self, name: str, on_frames: OnFrames, on_closed: OnClosed) -> None:
        """Start with empty counters."""
        self.name = name
        self.on_frames = on_frames
        self.on_closed = on_closed
        self.close_reason: str | None = None
        self.error = ""
        self.pause_above_bytes: int | None = None
        self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = self.commands_in = self.commands_out = 0
        self.frames_per_send = new_histogram()
        self._closed = trio.Event()

    def __repr__(self) -> str:
        """Name the link and its state."""
        return f"<{type(self).__name__} {self.name} {self.close_reason or 'open'}>"

    @property
    def ending(self) -> str:
        """Why the link is closed, for people: the reason, and what the system said."""
        return f"{self.close_reason}: {self.error}" if self.error else str(self.close_reason)

    @abstractmethod
    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one frame.

        Args:
            parts: pieces of one payload, in order.
            commands: how many commands it carries, for the statistics.

        Returns:
            False if the link is closed or its queue is full: the frame is dropped whole and counted.

        Raises:
            LocalMisuse: the frame is over ``frame_bytes_max``.
        """

    @abstractmethod
    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one frame that ``frame.encode`` made; for a frame that goes out on several links and is encoded once."""

    @abstractmethod
    def flush(self) -> None:
        """Give the queue to the world, or hold it back if the policy says so. Never blocks; what does not fit now goes by itself later."""

    @abstractmethod
    def close(self, reason: str) -> None:
        """Close after a last attempt to send what is queued. The first reason stays; closing again does nothing."""

    @abstractmethod
    def abort(self, reason: str) -> None:
        """Close at once: nothing more is sent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Stop reading, so that the other side is pushed back; frames already received may still come."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Read again."""

    @property
    @abstractmethod
    def queued_bytes(self) -> int:
        """Bytes queued and not yet taken by the world."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """Frames dropped so far."""

    @abstractmethod
    def set_frame_bytes_max(self, limit: int) -> None:
        """Set the largest payload accepted from the other side from now on."""

    @abstractmethod
    def statistics(self) -> LinkStatistics:
        """Snapshot the counters."""

    async def run(self) -> None:
        """Do what the link needs tasks for; returns when it is closed. Cancelled: the link is closed, since half a frame may be out."""
        try:
            await self._closed.wait()
        finally:
            self.abort("cancelled")

    async def wait_closed(self) -> str:
        """Wait for the end; returns the reason."""
        await self._closed.wait()
        return str(self.close_reason)

    def count_commands(self, count: int) -> None:
        """Tell how many commands the received frames carried."""
        self.commands_in += count

    def _base_statistics(self, syscalls: SystemCalls, *, blocked: int = 0, empty_receives: int = 0) -> LinkStatistics:
        return LinkStatistics(
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            commands_in=self.commands_in,
            commands_out=self.commands_out,
            dropped=self.dropped,
            blocked=blocked,
            empty_receives=empty_receives,
            syscalls=syscalls,
            frames_per_send=tuple(self.frames_per_send),
        )

    def _mark_closed(self, reason: str) -> None:
        """Set the reason and tell everybody; the caller has checked that the link was open."""
        self.close_reason = reason
        self._closed.set()
        self.on_closed(self, reason)
