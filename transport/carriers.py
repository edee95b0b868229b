"""What carries a link to an address: native TCP, WebSocket, or the in-memory fabric. The one place that knows all kinds."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import attrs
import trio

from transport.address import Address, Kind
from transport.errors import LocalMisuse
from transport.fabric import Conduit, Fabric, MemoryListener
from transport.memory import MemoryLink
from transport.sockets import Listener, connect_to, listen_on
from transport.tcp import TcpLink

if TYPE_CHECKING:
    from transport.batch import BatchPolicy
    from transport.hub import Hub
    from transport.limits import Limits
    from transport.link import Link, OnClosed, OnFrames
    from transport.turns import Turns

Wire = socket.socket | Conduit
"""A connection without a link over it yet."""


@attrs.frozen
class Carriers:
    """Listens, connects, and makes links.

    Attributes:
        turns: woken by links that are not the hub's.
        hub: serves native links; None: there are none.
        fabric: carries in-memory links; None: there are none.
        fabric_name: our name in the fabric when we dial.
        policy: when a flush sends.
        limits: of links.
    """

    turns: Turns
    hub: Hub | None
    fabric: Fabric | None
    fabric_name: str
    policy: BatchPolicy
    limits: Limits

    async def listen(self, address: Address, listening: socket.socket | None = None) -> tuple[Listener | MemoryListener, Address]:
        """Open a listener; returns it with the address it is bound to.

        Args:
            address: where.
            listening: a socket that listens there already, taken over.

        Raises:
            AddressInUse, TransportError: it cannot be opened; the message names the address.
        """
        if address.kind is Kind.MEMORY:
            return self._fabric().listen(address.host), address
        if listening is not None:
            listener = Listener(trio.socket.from_stdlib_socket(listening))
        else:
            listener = await listen_on(address.host, address.port)
        return listener, Address(address.kind, listener.host, listener.port)

    async def connect(self, address: Address) -> Wire:
        """Connect.

        Raises:
            DialFailed: nobody could be reached; the message names the address.
        """
        if address.kind is Kind.MEMORY:
            return await self._fabric().dial(address.host, self.fabric_name)
        return await connect_to(address.host, address.port)

    def link(self, wire: Wire, kind: Kind, other: str, on_frames: OnFrames, on_closed: OnClosed, *, dialed: bool) -> Link:
        """Make a link over a connection.

        Args:
            wire: owned by the link from now on.
            kind: what it carries.
            other: the other side's address, for logs (and the Host header of a WebSocket we dial).
            on_frames: handles received frames.
            on_closed: takes note of the end.
            dialed: we connected; the other side accepted.
        """
        policy = self.policy.for_link()
        if isinstance(wire, Conduit):
            return MemoryLink(wire, f"memory:{other}", self.turns, on_frames, on_closed, policy, self.limits)
        if kind is Kind.WEBSOCKET:
            from transport.websocket import WebSocketLink  # a tenth of a second to import, and most programs never use it

            request = (other, "/") if dialed else None
            return WebSocketLink(wire, f"ws:{other}", self.turns, on_frames, on_closed, policy, self.limits, dialed=request)
        if self.hub is None:
            raise LocalMisuse("native links need a hub")
        return TcpLink(wire, f"tcp:{other}", self.hub, on_frames, on_closed, policy, self.limits)

    def _fabric(self) -> Fabric:
        if self.fabric is None:
            raise LocalMisuse("memory addresses need a fabric")
        return self.fabric
