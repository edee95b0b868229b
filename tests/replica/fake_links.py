"""Links that go nowhere: what a driver gave them can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.wire import WireLimits, decode
from transport.frame import HEADER_BYTES
from transport.handshake import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Message

ROOMY = WireLimits(commands_per_frame_max=1 << 20, sections_per_frame_max=1 << 16, items_per_frame_max=1 << 24)
CLIENT = Identity("client 1", exclusive=False)


def peer(replica: int) -> Identity:
    return Identity(replica, exclusive=True)


class FakeLink:
    """Keeps what it is given. ``frames`` as sent, ``flushed`` how many of them a flush let go."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.frames: list[Sequence[bytes]] = []
        self.flushed = 0
        self.queued_bytes = 0
        self.close_reason: str | None = None

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:  # noqa: ARG002 - the contract's
        self.frames.append(parts)
        return True

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:  # noqa: ARG002 - the contract's
        self.frames.append([b"".join(buffers)[HEADER_BYTES:]])
        return True

    def flush(self) -> None:
        self.flushed = len(self.frames)

    def close(self, reason: str) -> None:
        self.close_reason = reason

    @property
    def sections(self) -> list[Message]:
        """All sections sent."""
        return [section for parts in self.frames for section in decode(b"".join(parts), limits=ROOMY)[1]]

    def of(self, kind: type[Any]) -> list[Any]:
        """The sections of one class."""
        return [section for section in self.sections if isinstance(section, kind)]
