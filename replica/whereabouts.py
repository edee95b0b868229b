"""Where the members of a cluster listen, as one replica knows it.

The cluster file has the founders, the log the native addresses of who came later, and every replica tells the others on each link where it listens
itself (``Contact``): only so the admin of a newcomer, which stands in nobody's file, is found.  Addresses may be others after a restart, which is
why the log's first configuration has none.  For people and their commands; whom a replica dials is ``peering``'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.address import AddressError, join_address, split_address
from replica.cluster_file import ReplicaPlace

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile
    from replica.core.replica import Replica

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound here
"""What a replica that listens at all of its machine's addresses tells as its host."""


@attrs.define(eq=False)
class Whereabouts:
    """What one replica knows of all.

    Attributes:
        core: Has the configuration, and what the others told.
        cluster: The file it was started with.
        own: Where it listens itself: native, WebSocket, admin, each ``HOST:PORT``; empty while that is not known.
    """

    core: Replica
    cluster: ClusterFile
    own: tuple[str, ...] = ()

    def of(self, member: int) -> ReplicaPlace:
        """Return where a member listens; what is not known is empty."""
        told = self.own if member == self.core.node.config.id else self.core.peers.contacts.get(member, ())
        native, websocket, admin = told or ("", "", "")
        row = next((place for place in self.cluster.replicas if place.id == member), ReplicaPlace(id=member))
        address = row.address or self.core.node.configuration.address(member) or native
        return ReplicaPlace(
            id=member, address=address,
            websocket=row.websocket or _url("ws", websocket, address), admin=row.admin or _url("http", admin, address),
        )  # fmt: skip

    def holder(self, address: str) -> int | None:
        """Return the member that listens at ``HOST:PORT`` already, for whichever protocol."""
        for member in self.core.node.configuration.members:
            place = self.of(member)
            if address in (place.address, place.websocket.removeprefix("ws://"), place.admin.removeprefix("http://")):
                return member
        return None


def _url(scheme: str, told: str, address: str) -> str:
    """Return what a replica told as a URL, with the host by which others know it if it listens everywhere; empty if it is no address."""
    try:
        host, port = split_address(told)
        if host in EVERYWHERE and address:
            host = split_address(address)[0]
    except AddressError:
        return ""
    return f"{scheme}://{join_address(host, port)}"
