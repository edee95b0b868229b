"""Every limit of links and meshes in one place, with what happens at each."""

from __future__ import annotations

import attrs

from transport.batch import OUT_QUEUE_BYTES_MAX
from transport.errors import LocalMisuse
from transport.frame import FRAME_BYTES_MAX, HEADER_BYTES


@attrs.frozen
class Limits:
    """Limits of links and of the mesh that makes them. Bytes and seconds; all positive."""

    frame_bytes_max: int = FRAME_BYTES_MAX
    """Largest payload. Sending more is our own bug (LocalMisuse); receiving more closes the link (``frame_too_large``)."""
    hello_bytes_max: int = 64 * 1024
    """Largest first frame, so that a stranger cannot make us buffer a large one."""
    out_queue_bytes_max: int = OUT_QUEUE_BYTES_MAX
    """Largest queue of a link; a frame that does not fit is dropped whole and counted."""
    pause_above_bytes: int = 1024 * 1024
    """A link of many (a client's) whose blocked queue is larger is not read until it has drained to half. Peers' links are always read."""
    burst_bytes_max: int = 1024 * 1024
    """Most bytes read from one link before the others have their turn."""
    burst_frames_max: int = 4096
    """Most frames of one link handed up in one turn; the rest waits for the next."""
    connections_max: int = 4096
    """Most connections accepted by one listener; further ones are closed at once (``too_many_connections``)."""
    handshake_seconds: float = 5.0
    """Limit of connecting, and again of the handshake (``handshake_timeout``)."""
    backoff_seconds_min: float = 0.05
    """First wait before dialing again; doubled after each failure."""
    backoff_seconds_max: float = 2.0
    """Longest wait before dialing again."""

    def __attrs_post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if self.out_queue_bytes_max < self.frame_bytes_max + HEADER_BYTES:
            message = f"out_queue_bytes_max = {self.out_queue_bytes_max} cannot hold one frame of frame_bytes_max = {self.frame_bytes_max}"
            raise LocalMisuse(message)
