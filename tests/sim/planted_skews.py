"""Trust that is not due, in a disk or a clock, planted like the bugs of ``planted`` and looked for where disks fail (*skew*), and where clocks
are wrong (*estrangement*)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from replica.core.election import Election
from replica.core.leader import Leader
from replica.core.messages import StrongRead
from replica.core.reads import Parked, StrongReads
from replica.core.replica import Replica
from replica.core.tallies import Tallies
from tests.sim.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def failed_disk_goes_on() -> list[Patch]:
    """What a disk refuses is taken for written: the process goes on, and nothing that it acknowledges from then on is there after a restart."""
    write, snapshot = Disk.write, Disk.snapshot

    def refuse(self: Any, *what: str) -> None:
        if self.failing in what:
            self.failing = "for ever"

    def lose(self: Any, batch: int, records: Any) -> None:
        write(self, batch, [] if self.failing == "for ever" else records)

    def lose_snapshot(self: Any, node: Any, checkpoint: Any) -> None:
        if self.failing != "for ever":
            snapshot(self, node, checkpoint)

    return [(Disk, "_refuse", refuse), (Disk, "write", lose), (Disk, "snapshot", lose_snapshot)]


def reads_by_lease() -> list[Patch]:
    """A leader answers strong reads alone while its lease lasts: as long as no voter may elect another, by its own clock (Raft dissertation, 6.4.1).

    Right as long as clocks are: voters keep their promise when links break and when they are started again, and a lease counts from when its round
    was sent.
    """
    sent: WeakKeyDictionary[Any, dict[int, float]] = WeakKeyDictionary()  # {leader: {round: when it was sent}}
    accepts, init = Leader.accepts, Replica.__init__
    answer, confirmed = StrongReads.on_strong_read, Tallies.reads_confirmed

    def accept(self: Any, now: float) -> Any:
        before = self.round
        made = accepts(self, now)
        if self.round > before:
            sent.setdefault(self, {})[self.round] = now
        return made

    def answer_in_time(self: Any, source: Any, read: Any) -> None:
        leader, node = self.leader, self.node
        if node.now >= sent.get(leader, {}).get(leader.confirmed, -1.0) + node.config.election_seconds or leader.handing_over is not None:
            return  # the client asks again, the long way
        end = 0
        for session, first, count, dependency in zip(read.sessions, read.firsts, read.counts, read.dependencies, strict=True):
            start, end = end, end + count
            chain, queries = node.witness.chains.get(session), read.queries[start:end]
            if chain is None or dependency <= chain.committed:
                answer(self, source, StrongRead([session], [first], [count], [dependency], queries))
            elif dependency <= leader.logged_number(session):
                self._park(leader.next_index, Parked(source, session, first, queries))

    def confirm(self: Any, session: Any, flight: Any) -> bool:
        return flight.dependency <= session.committed or confirmed(self, session, flight)

    def begin(self: Any, *arguments: Any, **more: Any) -> None:
        init(self, *arguments, **more)
        self.follower.leader_seen_at = self.node.now

    def keep_the_promise(self: Any) -> None:
        """Wait as if the link to the leader were there."""

    return [
        (Leader, "accepts", accept), (StrongReads, "on_strong_read", answer_in_time), (Tallies, "reads_confirmed", confirm),
        (Replica, "__init__", begin), (Election, "lost_leader", keep_the_promise),
    ]  # fmt: skip


SKEW_BUGS: dict[str, Callable[[], list[Patch]]] = {bug.__name__: bug for bug in (failed_disk_goes_on, reads_by_lease)}

SKEW_RECORDED: dict[str, tuple[int, str, str]] = {
    "failed_disk_goes_on": (1, "I-ACK", "skew"),
    "reads_by_lease": (1, "I-FAST", "estrangement"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
