"""What goes over a client's links, counted and sampled: the recording that the floors are made from.

Only for the short recorded run beside a measured one; a measured run never goes through here.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import attrs

from replica.client_driver import ClientDriver
from transport.frame import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.client_driver import ClientSettings, OnCompletions
    from transport.handshake import Identity
    from transport.hub import Hub
    from transport.link import Link
    from transport.turns import Turns

SAMPLES_MAX: Final = 48
"""Payloads kept of each replica and direction: the first of the window."""


@attrs.define
class Direction:
    """One direction of the links to one replica."""

    frames: int = 0
    payload_bytes: int = 0
    samples: list[bytes] = attrs.Factory(list)

    def count(self, payload: bytes) -> None:
        """Count a payload."""
        self.frames += 1
        self.payload_bytes += len(payload)
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(payload)

    def as_json(self) -> dict[str, Any]:
        """Return it for a result; samples in base64."""
        return {"frames": self.frames, "bytes": self.payload_bytes, "samples": [b64encode(sample).decode() for sample in self.samples]}


class Trace:
    """Counts while it is active."""

    def __init__(self) -> None:
        self.active = False
        self.sent: dict[int, Direction] = {}  # {replica id: requests}
        self.received: dict[int, Direction] = {}  # {replica id: replies}

    def count_sent(self, replica: int, buffers: Sequence[bytes]) -> None:
        """Take an encoded frame to a replica."""
        if self.active:
            self.sent.setdefault(replica, Direction()).count(b"".join(buffers)[HEADER_BYTES:])

    def count_received(self, replica: int, frames: list[bytes]) -> None:
        """Take payloads from a replica."""
        if self.active:
            direction = self.received.setdefault(replica, Direction())
            for payload in frames:
                direction.count(payload)

    def as_json(self) -> dict[str, Any]:
        """Return it for a result."""
        return {
            name: {str(replica): direction.as_json() for replica, direction in directions.items()}
            for name, directions in (("sent", self.sent), ("received", self.received))
        }


class TracedLink:
    """A link whose sent frames are counted; everything else is the link's own."""

    def __init__(self, link: Link, replica: int, trace: Trace) -> None:
        self._link = link
        self._replica = replica
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:
        """Queue one encoded frame."""
        self._trace.count_sent(self._replica, buffers)
        return self._link.send_encoded(buffers, commands)


class TracingDriver(ClientDriver):
    """A client driver whose links are traced."""

    def __init__(self, settings: ClientSettings, on_completions: OnCompletions, shared: tuple[Turns, Hub], trace: Trace) -> None:
        super().__init__(settings, on_completions, shared)
        self._trace = trace
        self._traced: dict[Link, Link] = {}

    def _on_link_up(self, identity: Identity, link: Link) -> None:
        assert isinstance(identity.name, int)
        traced: Link = TracedLink(link, identity.name, self._trace)  # type: ignore[assignment]  # it is one in all but name
        self._traced[link] = traced
        super()._on_link_up(identity, traced)

    def _on_link_down(self, identity: Identity, link: Link, reason: str) -> None:
        super()._on_link_down(identity, self._traced.pop(link), reason)

    def _on_frames(self, identity: Identity, link: Link, frames: list[bytes]) -> None:
        assert isinstance(identity.name, int)
        self._trace.count_received(identity.name, frames)
        super()._on_frames(identity, self._traced[link], frames)
