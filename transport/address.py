"""Addresses as users write them: ``host:port`` native, ``ws://host:port/`` WebSocket, ``memory:name`` in-memory. Pure."""

from __future__ import annotations

from enum import Enum

import attrs

from transport.errors import BadAddress

PORT_MAX = 65535
_DIGITS_MAX = 9
"""Of a port; Python refuses to read thousands of them, and not with an error of ours."""


class Kind(Enum):
    """What carries a link to the address."""

    NATIVE = "native"
    WEBSOCKET = "websocket"
    MEMORY = "memory"


@attrs.frozen
class Address:
    """A parsed address. ``host`` is the name of a memory endpoint; ``port`` 0 asks for a free one (and is 0 for memory)."""

    kind: Kind
    host: str
    port: int = 0

    @property
    def location(self) -> str:
        """``host:port``, or the bare name of a memory endpoint."""
        if self.kind is Kind.MEMORY:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Write it as a user would."""
        match self.kind:
            case Kind.NATIVE:
                return self.location
            case Kind.WEBSOCKET:
                return f"ws://{self.location}/"
            case Kind.MEMORY:
                return f"memory:{self.location}"


def parse(text: str) -> Address:
    """Parse an address.

    Args:
        text: ``127.0.0.1:7400``, ``[::1]:7400``, ``ws://127.0.0.1:7410/`` or ``memory:replica-0``.

    Raises:
        BadAddress: it is none of these; the message names it.
    """
    if text.startswith("memory:"):
        name = text.removeprefix("memory:")
        if not name:
            raise BadAddress(_explain(text))
        return Address(Kind.MEMORY, name)
    kind = Kind.WEBSOCKET if text.startswith("ws://") else Kind.NATIVE
    rest = text.removeprefix("ws://").removesuffix("/") if kind is Kind.WEBSOCKET else text
    host, colon, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadAddress(_explain(text))
    if not (colon and host and port.isascii() and port.isdigit() and len(port) <= _DIGITS_MAX and int(port) <= PORT_MAX) or "/" in host:
        raise BadAddress(_explain(text))
    return Address(kind, host, int(port))


def _explain(text: str) -> str:
    return f"address {text!r} is not host:port, ws://host:port/ or memory:name"
