"""Length-prefixed, checksummed frames: encode and incremental decode. Pure: no sockets, no clock.

A native link carries, each way, the four bytes ``TSK1`` once and then frames::

    header  "<II"   payload length in bytes, CRC-32 (zlib) of the payload
    payload         that many bytes, opaque here

The preamble tells a stranger (a web browser, a port scanner) from one of us at its first bytes.  The checksum is there because TCP's own is
feeble, and a wrong frame would be replicated; it is not a defence against an attacker.  There is no resynchronising: a stream whose framing is
broken is over, since any length found by searching could be part of a payload.

The decoder never cuts a frame and never buffers more than one frame's limit plus one chunk.  Its fast path is one received chunk holding
whole frames: no copy but the slice that becomes the payload.  Rejected: a bytearray that is appended to and deleted from (each received byte
is then moved twice).

What must not live here: sockets, what a payload means, when something is sent (``batch``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

from transport.errors import LocalMisuse, RemoteMisbehaviour

if TYPE_CHECKING:
    from collections.abc import Sequence

PREAMBLE = b"TSK1"
"""First bytes of a native connection, both ways; the digit is the framing's version."""

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""Default limit of a payload in bytes."""

JOIN_BYTES_MAX = 16 * 1024
"""Up to this many bytes copying costs less than one more buffer in a gathered send (measured: 16 KiB copy in about 1 us)."""

_HEADER = struct.Struct("<II")
HEADER_BYTES = _HEADER.size


class FrameError(RemoteMisbehaviour):
    """The other side's bytes are not frames. Attributes: ``frames``, the whole frames that came before the error in the same chunk."""

    reason = "bad_frame"

    def __init__(self, detail: str = "") -> None:
        """Keep a detail for people; ``reason`` is the class's."""
        super().__init__(detail=detail)
        self.frames: list[bytes] = []


class BadPreamble(FrameError):
    """The first bytes are not the preamble: not one of us."""

    reason = "bad_preamble"


class FrameTooLarge(FrameError):
    """A header announces more than the limit; nothing of that payload is buffered."""

    reason = "frame_too_large"


class BadChecksum(FrameError):
    """A payload does not match its checksum."""

    reason = "bad_checksum"


class Truncated(FrameError):
    """The stream ended inside a frame or inside the preamble."""

    reason = "truncated"


def encode(parts: Sequence[bytes], frame_bytes_max: int = FRAME_BYTES_MAX) -> list[bytes]:
    """Encode one frame as the buffers to send.

    Args:
        parts: pieces of one payload, in order; together at most ``frame_bytes_max`` bytes.
        frame_bytes_max: limit of a payload in bytes; the same as the receiver's.

    Returns:
        ``[header + payload]`` for a small frame, ``[header, *parts]`` for a large one; joined they are the frame. May be queued on many links.

    Raises:
        LocalMisuse: the payload is over the limit.
    """
    payload = parts[0] if len(parts) == 1 else b"".join(parts)
    size = len(payload)
    if size > frame_bytes_max:
        message = f"a frame of {size} bytes is over frame_bytes_max = {frame_bytes_max}"
        raise LocalMisuse(message)
    header = _HEADER.pack(size, crc32(payload))
    return [header + payload] if size <= JOIN_BYTES_MAX else [header, payload]


class FrameDecoder:
    """Turns received chunks into payloads, however the stream was cut.

    Args:
        frame_bytes_max: largest payload accepted, in bytes.
        preamble: bytes that must come before the first frame (empty: none).

    Invariants:
        At most ``frame_bytes_max + HEADER_BYTES`` bytes and one chunk are held. After an error every further chunk raises it again.
        The frames handed up and the error do not depend on how the stream was cut.
    """

    __slots__ = ("_chunks", "_error", "_held", "_needed", "_preamble", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX, preamble: bytes = PREAMBLE) -> None:
        """Start before the preamble."""
        self.frame_bytes_max = frame_bytes_max
        self._preamble = preamble  # what is still missing of it
        self._chunks: list[bytes] = []  # the beginning of a frame whose end has not come
        self._held = 0  # bytes in _chunks
        self._needed = 0  # bytes _chunks must reach before decoding can go on; 0: nothing is held
        self._error: FrameError | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished frame held now."""
        return self._held

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next chunk of the stream.

        Args:
            data: received bytes, at least one.

        Returns:
            The payloads that became whole, in order; often empty.

        Raises:
            FrameError: the other side's bytes are not frames; its ``frames`` are the payloads that were whole before. The stream is over.
        """
        if self._needed:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._held = self._needed = 0
        elif self._error is not None:
            self._error.frames = []
            raise self._error
        if self._preamble:
            data = self._strip_preamble(data)
        frames: list[bytes] = []
        offset = 0
        size = len(data)
        unpack = _HEADER.unpack_from
        while size - offset >= 8:  # noqa: PLR2004 - HEADER_BYTES, as a constant of this hot loop
            length, checksum = unpack(data, offset)
            start = offset + 8
            end = start + length
            if end > size:
                if length > self.frame_bytes_max:
                    self._fail(FrameTooLarge(f"{length} bytes announced, frame_bytes_max = {self.frame_bytes_max}"), frames)
                self._hold(data[offset:] if offset else data, length + 8)
                return frames
            payload = data[start:end]
            if length > self.frame_bytes_max:
                self._fail(FrameTooLarge(f"{length} bytes announced, frame_bytes_max = {self.frame_bytes_max}"), frames)
            if crc32(payload) != checksum:
                self._fail(BadChecksum(f"a payload of {length} bytes"), frames)
            frames.append(payload)
            offset = end
        if offset < size:
            self._hold(data[offset:], 8)
        return frames

    def end(self) -> None:
        """Say that the stream has ended.

        Raises:
            Truncated: it ended inside a frame, or with a part of the preamble.
        """
        if self._error is None and self._held:
            self._fail(Truncated(f"the stream ended with {self._held} bytes of an unfinished frame"), [])

    def _hold(self, rest: bytes, needed: int) -> None:
        self._chunks.append(rest)
        self._held = len(rest)
        self._needed = needed

    def _strip_preamble(self, data: bytes) -> bytes:
        expected = self._preamble
        if data[: len(expected)] != expected[: len(data)]:
            self._fail(BadPreamble(f"the stream begins with {data[:16]!r}"), [])
        if len(data) < len(expected):
            self._hold(data, len(data) + 1)  # the very next byte may tell a stranger
            return b""
        self._preamble = b""
        return data[len(expected) :]

    def _fail(self, error: FrameError, frames: list[bytes]) -> None:
        """Remember the error for good and raise it."""
        self._error = error
        self._chunks.clear()
        self._held = self._needed = 0
        error.frames = frames
        raise error
