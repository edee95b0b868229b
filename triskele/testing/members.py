"""Members that come and go in a cluster in memory: what ``triskele members`` and an operator do, one after the other.

The change itself is the replicas' own (``replica.core.reconfiguration``), asked of whoever leads.  A leader that dies may take an uncommitted change
with it: then the next one is asked again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import trio

from replica.cluster_file import ReplicaPlace
from replica.core.reconfiguration import NotNow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from replica.cluster_file import ClusterFile
    from replica.core.configuration import Configuration
    from replica.core.reconfiguration import Reconfiguration
    from triskele.testing.cluster import Cluster
    from triskele.testing.seat import Seat

CHANGE_SECONDS = 60.0
"""For a change to be made, and for a newcomer to vote; virtual time costs nothing."""
LOOK_SECONDS = 0.02


def place_of(replica: int, folder: Path) -> ReplicaPlace:
    """Say where a replica of a cluster in memory is, and where its data."""
    return ReplicaPlace(id=replica, address=f"memory:r{replica}", data_dir=str(folder / f"replica-{replica}"))


@attrs.define(eq=False)
class Members:
    """Changes who belongs to a cluster.

    Attributes:
        cluster: the cluster.
        seat_of: makes the seat of a replica, given its id and the cluster file it is started with.
        folder: holds the data folders.
        newest: the highest id that was ever given; ids are never used again.
        left: seats of replicas that do not belong to the cluster any more.
    """

    cluster: Cluster
    seat_of: Callable[[int, ClusterFile], Seat]
    folder: Path
    newest: int
    left: list[Seat] = attrs.Factory(list)

    async def add(self, replaces: int | None = None) -> int:
        """Log a learner, for a voter if that is given, and start it; return its id."""
        self.newest = member = self.newest + 1
        place = place_of(member, self.folder)
        await self._change(
            lambda change: change.add(member, place.address, -1 if replaces is None else replaces), lambda told: member in told.members
        )
        cluster = self.cluster
        cluster.file = attrs.evolve(cluster.file, replicas=(*cluster.file.replicas, place))
        cluster.seats[member] = self.seat_of(member, cluster.file.with_replica(member, joins=True))
        await cluster.restart(member)
        return member

    async def replace(self, replica: int) -> int:
        """Let a new replica take a voter's place; return its id when it votes and the other has left, which is killed if it lives."""
        member = await self.add(replica)
        await self._until(lambda told: member in told.voters and replica not in told.members)
        await self._leave(replica)
        return member

    async def wait_for_voter(self, member: int) -> None:
        """Wait until a member votes."""
        await self._until(lambda told: member in told.voters)

    async def remove(self, replica: int) -> None:
        """Remove a member; when that is committed and another leads, it is killed if it lives."""
        await self._change(lambda change: change.remove(replica), lambda told: replica in told.removed)
        await self._until(lambda told: replica not in told.members and self.cluster.leader != replica)
        await self._leave(replica)

    async def _leave(self, replica: int) -> None:
        cluster = self.cluster
        await cluster.kill(replica)
        self.left.append(cluster.seats.pop(replica))
        cluster.file = attrs.evolve(cluster.file, replicas=tuple(place for place in cluster.file.replicas if place.id != replica))

    # ------------------------------------------------------------------------------------------------------------------ asking who leads

    async def _change(self, begin: Callable[[Reconfiguration], None], made: Callable[[Configuration], bool]) -> None:
        """Ask whoever leads for a change until it is made and committed."""

        def ask_again() -> None:
            leader = self.cluster.servers.get(self.cluster.leader if self.cluster.leader is not None else -1)
            change = leader.core.reconfiguration if leader is not None else None
            if leader is not None and change is not None and not change.obstacle():  # of a change under way nothing is asked again
                with suppress(NotNow):
                    begin(change)
                    leader.turns.wake()

        await self._until(made, ask_again)

    async def _until(self, holds: Callable[[Configuration], bool], otherwise: Callable[[], None] = lambda: None) -> None:
        """Wait until the committed configuration of whoever leads is as it is wanted."""
        with trio.fail_after(CHANGE_SECONDS):
            while True:
                told = self._told()
                if told is not None and holds(told):
                    return
                otherwise()
                await trio.sleep(LOOK_SECONDS)

    def _told(self) -> Configuration | None:
        """Return the leader's configuration; None while it is not committed, or nobody leads."""
        for replica, server in self.cluster.servers.items():
            node, leader = server.core.node, server.core.leader
            if replica == self.cluster.leader and leader is not None and leader.open and node.configurations.index <= node.commit_index:
                return node.configuration
        return None
