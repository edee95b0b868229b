"""Which other replicas this one speaks to: whom it dials, whom it lets in, and what its hello says; all of it follows the configuration.

Of two replicas the one with the higher id dials.  Addresses stand in the cluster file, and for who came by a change in the log.  A replica whose
configuration here is not known yet is let in if its own is newer: it may be the one that has to tell.

Who is removed gets no entry that says so, for it belongs to the configuration no more when that is logged.  So it is told in words: the last frame
of a link that the others close, or their answer when it dials, is the refusal ``removed``.  Said only when the removal is committed here, since
one that is not may be cut off the log, and whoever has heard the word goes by it.  Nobody dials who was removed, and of two replicas the lower one
waits: so a replica that is linked to nobody for a while (``LONELY_SECONDS``) dials everybody, and learns it then.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from replica.core.messages import Contact
from replica.hello import HelloError, encode_hello, encode_refusal, judge
from replica.standing import CONTRADICTIONS, FORGOTTEN
from replica.wire import encode
from transport.fault_points import reach
from transport.handshake import Identity

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile
    from replica.core.node import Node
    from replica.hello import Hello
    from replica.standing import Standing
    from transport.errors import HandshakeRefused
    from transport.link import Link
    from transport.mesh import Mesh

logger = logging.getLogger("triskele.replica")

LONELY_SECONDS = 10.0
"""A replica that is linked to none of the others for so long dials those too that should dial it; longer than replicas that start together take, so
that they do not meet with two links."""


class Peering:
    """The links to other replicas.

    Args:
        node: knows the configuration.
        cluster: has addresses.
        hello: ours, with whatever configuration.
        standing: judges what others refuse us for; None: nobody does.

    Attributes:
        hello: ours, of the present configuration.
        mesh: set before the first link.
        removed: why this replica is out of the cluster, as others told; empty while nobody has.
    """

    def __init__(self, node: Node, cluster: ClusterFile, hello: Hello, standing: Standing | None = None) -> None:
        self.node = node
        self.hello = hello
        self.mesh: Mesh | None = None
        self.removed = ""
        self._places = {place.id: place.address for place in cluster.replicas if place.address}
        self._changed = trio.Event()
        self._lonely = False
        self._standing = standing
        self._dialing: dict[int, trio.CancelScope] = {}
        self._renew()

    def _renew(self) -> None:
        told = self.node.configuration
        self.hello = attrs.evolve(self.hello, config=told.number, voters=told.voters)

    @property
    def gone(self) -> str:
        """Why this replica does not belong to the cluster any more, in words; empty while it does, as far as is known."""
        node, own = self.node, self.hello.id
        if self.removed or own not in node.configuration.removed or not node.settled or node.leads:  # who leads still has to hand over
            return self.removed
        return self._words(own)

    def _words(self, member: int) -> str:
        return f"replica {member} was removed from the cluster (configuration {self.node.configuration.number}); stop it"

    def on_configured(self) -> None:
        """The configuration changed, is committed, or another replica leads: say so in the hello, speak to whom it names, part from whom it removed.

        Called inside a turn.
        """
        assert self.mesh is not None
        told, node = self.node.configuration, self.node
        if (self.hello.config, self.hello.voters) != (told.number, told.voters):
            self._renew()
            self.mesh.hello = encode_hello(self.hello)
            logger.info("configuration %d: voters %s, learners %s", told.number, told.voters, told.learners)
        for member in told.removed if node.settled else ():
            link = self.mesh.link_to(member)
            if link is not None and member != node.leader:
                link.send((encode_refusal("removed", self._words(member)),))
                link.close("removed")
        self._changed.set()

    def introduce(self, link: Link, listens: tuple[str, ...]) -> None:
        """Tell another replica, once on its link, where this one listens; called inside the turn in which the link came up."""
        link.send((encode(self.hello.incarnation, [Contact([address.encode() for address in listens])]),), 1)
        link.flush()

    def judge(self, theirs: Hello) -> None:
        """Require that another side may speak to us.

        Raises:
            HelloError: it may not.
        """
        try:
            judge(self.hello, theirs)
        except HelloError as error:
            if error.reason in CONTRADICTIONS and theirs.role == "replica" and self._standing is not None and not self._standing.look():
                self._ask_back()
            raise
        told = self.node.configuration
        if theirs.role == "client":
            if self.gone:
                raise HelloError("removed", self.gone)
        elif theirs.id == self.node.leader:  # one that leaves still has to hand over
            return
        elif theirs.id in told.removed:
            if self.node.settled:
                raise HelloError("removed", self._words(theirs.id))
        elif told.number and theirs.id not in told.members and theirs.config <= told.number:
            detail = f"replica {theirs.id} is none of {', '.join(map(str, told.members))}: add it first (triskele members add)"
            raise HelloError("unknown_replica", detail)

    def _ask_back(self) -> None:
        """One that dialed us, and may be a stranger, knows us otherwise than we do: dial everybody, and go by what is heard there."""
        if not self._lonely:
            self._lonely = True
            self._changed.set()

    def on_refused(self, reason: str, detail: str) -> None:
        """Another replica refused us."""
        if reason == FORGOTTEN:
            self._ask_back()
        if reason == "removed" and not self.removed:
            self.removed = detail
            logger.error("%s", detail)
            self._changed.set()  # nobody wants to be dialed by us any more
            assert self.mesh is not None
            for link, identity in list(self.mesh.links.items()):
                if not identity.exclusive:  # clients find those who serve
                    link.close("removed")

    def _others(self) -> dict[int, str]:
        """Return the other members that may be dialed, and where; all in the file for who does not know the members yet."""
        if self.removed:
            return {}
        told, own = self.node.configuration, self.hello.id
        members = told.members if told.number else tuple(self._places)
        found = {member: self._places.get(member) or told.address(member) for member in members if member != own}
        return {member: address for member, address in found.items() if address}

    def _wanted(self) -> dict[int, str]:
        """Return whom to dial, and where: members with lower ids, all others for who is lonely."""
        return {member: address for member, address in self._others().items() if member < self.hello.id or self._lonely}

    def _kept(self) -> set[int]:
        """Return whom to go on dialing: all others (a link of a lonely time is in use), a leader that leaves, and who may have to stay."""
        if self.removed:
            return set()
        node = self.node
        return {*self._others(), node.leader, *(() if node.settled else node.configuration.removed)}

    async def run(self) -> None:
        """Dial whoever is to be dialed, as the configuration goes; returns only when cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                reach("peering.look")
                for member in set(self._dialing) - self._kept():
                    self._dialing.pop(member).cancel()
                for member, address in self._wanted().items():
                    if member not in self._dialing:
                        scope = self._dialing[member] = trio.CancelScope()
                        nursery.start_soon(self._dial, scope, member, address)
                await self._news()

    async def _news(self) -> None:
        """Wait until there may be others to dial."""
        while not self._changed.is_set():
            if self._standing is not None:
                self._standing.look()
            linked = self._is_linked()
            with trio.move_on_after(LONELY_SECONDS):
                await self._changed.wait()
                return
            lonely = not (linked or self._is_linked())
            if lonely is not self._lonely:
                self._lonely = lonely
                return

    def _is_linked(self) -> bool:
        assert self.mesh is not None
        return any(identity.exclusive for identity in self.mesh.links.values())

    async def _dial(self, scope: trio.CancelScope, member: int, address: str) -> None:
        assert self.mesh is not None
        with scope:
            await self.mesh.dial(Identity(member, exclusive=True), address, partial(self._on_answered, member))

    def _on_answered(self, member: int, refused: HandshakeRefused) -> None:
        """Whom we dialed refuses us, or we it; what this raises ends the process. A stranger that dials us and says so is nobody to go by."""
        if refused.told:
            self.on_refused(refused.why, refused.explanation)
        if self._standing is not None and self.mesh is not None:
            self._standing.on_refused(member, refused, {other.name for other in self.mesh.links.values() if isinstance(other.name, int)})
