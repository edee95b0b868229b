"""Which other replicas this one speaks to: whom it dials, whom it lets in, and what its hello says; all of it follows the configuration.

Of two replicas the one with the higher id dials.  Addresses stand in the cluster file, and for who came by a change in the log.  A replica whose
configuration here is not known yet is let in if its own is newer: it may be the one that has to tell.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

from replica.hello import HelloError, encode_hello, judge
from transport.fault_points import reach
from transport.handshake import Identity

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile
    from replica.core.node import Node
    from replica.hello import Hello
    from transport.mesh import Mesh

logger = logging.getLogger("triskele.replica")


class Peering:
    """The links to other replicas.

    Args:
        node: knows the configuration.
        cluster: has addresses.
        hello: ours, with whatever configuration.

    Attributes:
        hello: ours, of the present configuration.
        mesh: set before the first link.
        removed: why this replica is out of the cluster, as others told; empty while it is not.
    """

    def __init__(self, node: Node, cluster: ClusterFile, hello: Hello) -> None:
        self.node = node
        self.hello = hello
        self.mesh: Mesh | None = None
        self.removed = ""
        self._places = {place.id: place.address for place in cluster.replicas if place.address}
        self._changed = trio.Event()
        self._dialing: dict[int, trio.CancelScope] = {}
        self._renew()

    def _renew(self) -> None:
        told = self.node.configuration
        self.hello = attrs.evolve(self.hello, config=told.number, voters=told.voters)

    def on_configured(self) -> None:
        """The configuration changed: say so in the hello, and speak to whom it names; called inside a turn."""
        self._renew()
        assert self.mesh is not None
        self.mesh.hello = encode_hello(self.hello)
        told, node = self.node.configuration, self.node
        logger.info("configuration %d: voters %s, learners %s", told.number, told.voters, told.learners)
        for member in told.removed:
            link = self.mesh.link_to(member)
            if link is not None and member != node.leader:
                link.close("removed")
        self._changed.set()

    def judge(self, theirs: Hello) -> None:
        """Require that another side may speak to us.

        Raises:
            HelloError: it may not.
        """
        judge(self.hello, theirs)
        told = self.node.configuration
        if theirs.role == "client" or theirs.id == self.node.leader:  # a leader that leaves still has to hand over
            return
        if theirs.id in told.removed:
            raise HelloError("removed", f"replica {theirs.id} was removed from the cluster (configuration {told.number}); stop it")
        if told.number and theirs.id not in told.members and theirs.config <= told.number:
            detail = f"replica {theirs.id} is none of {', '.join(map(str, told.members))}: add it first (triskele members add)"
            raise HelloError("unknown_replica", detail)

    def on_refused(self, reason: str, detail: str) -> None:
        """Another replica refused us."""
        if reason == "removed" and not self.removed:
            self.removed = detail
            logger.error("%s", detail)
            self._changed.set()  # nobody wants to be dialed by us any more

    def _wanted(self) -> dict[int, str]:
        """Return whom to dial, and where: members with lower ids; everybody known for who does not know the members yet."""
        if self.removed:
            return {}
        told, own = self.node.configuration, self.hello.id
        members = told.members if told.number else tuple(self._places)
        found = {member: self._places.get(member) or told.address(member) for member in members if member < own}
        return {member: address for member, address in found.items() if address}

    async def run(self) -> None:
        """Dial whoever is to be dialed, as the configuration goes; returns only when cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                reach("peering.look")
                wanted = self._wanted()
                for member in [member for member in self._dialing if member not in wanted]:
                    self._dialing.pop(member).cancel()
                for member, address in wanted.items():
                    if member not in self._dialing:
                        scope = self._dialing[member] = trio.CancelScope()
                        nursery.start_soon(self._dial, scope, member, address)
                await self._changed.wait()

    async def _dial(self, scope: trio.CancelScope, member: int, address: str) -> None:
        assert self.mesh is not None
        with scope:
            await self.mesh.dial(Identity(member, exclusive=True), address)
