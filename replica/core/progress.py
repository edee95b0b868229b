"""The followers as the leader sees them (etcd raft's ``tracker``), and what enough of them have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from replica.core.catchup import begin

if TYPE_CHECKING:
    from replica.core.catchup import Sending
    from replica.core.configuration import Configuration
    from replica.core.messages import SnapshotAck
    from replica.core.node import Node


@attrs.define(eq=False)
class Progress:
    """One follower."""

    match: int = 0
    """Everything up to this index is in its log."""
    next: int = 1
    """The next index to send."""
    round: int = 0
    """The latest round it acknowledged."""
    heard_at: float = 0.0
    """When it last acknowledged anything of this view, seconds."""
    linked: bool = False
    answered: bool = False
    """It has acknowledged something of this view since its link came up: with ``memory`` durability who came back may have forgotten its votes."""
    sending: Sending | None = None
    """A snapshot on its way: the kept log does not reach back to what it needs."""

    def on_heard(self, now: float) -> None:
        """It acknowledged something."""
        self.heard_at, self.answered = now, True

    def alive(self, since: float) -> bool:
        """Whether it has been heard since some time, on the link that it has."""
        return self.linked and self.answered and self.heard_at > since


@attrs.define(eq=False)
class Tracker:
    """All members but the leader itself; it counts by the latest configuration of the leader's log."""

    node: Node
    told: Configuration = attrs.field(init=False)
    """What it counts by."""
    progress: dict[int, Progress] = attrs.Factory(dict)
    # {member: how far it is}
    voting: list[Progress] = attrs.Factory(list)
    """Of the voters among them."""
    others: int = 0
    """How many of those make a majority, with the leader if it votes itself."""
    links: dict[int, None] = attrs.Factory(dict)
    # {linked peer, member or not}
    sending_at: float = math.inf
    """When the pace of some snapshot lets its next part go."""

    def configure(self) -> None:
        """Count by the present configuration, at the beginning of a view and when it has changed."""
        node, known = self.node, self.progress
        told = self.told = node.configuration
        self.progress = {}
        for member in told.members:
            if member != node.config.id:
                fresh = Progress(next=node.log.last_index + 1, heard_at=node.now, linked=member in self.links)
                self.progress[member] = known.get(member) or fresh
        self.voting = [progress for member, progress in self.progress.items() if member in told.voters]
        self.others = told.majority - node.votes

    def link_up(self, peer: int) -> None:
        """A peer's link is fresh: what was in flight may be lost, so send again from what it acknowledged."""
        self.links[peer] = None
        progress = self.progress.get(peer)
        if progress is not None:
            progress.linked, progress.answered = True, False
            if progress.match:  # else it has not said yet where its log agrees with ours
                progress.next = progress.match + 1
            if progress.sending is not None:
                progress.sending.again()
                self.sending_at = min(self.sending_at, progress.sending.due())  # if nothing is in flight, no ack will come

    def begin_sending(self, peer: int) -> None:
        """Send a follower the state of this moment."""
        sending = self.progress[peer].sending = begin(self.node, peer)
        self.sending_at = min(self.sending_at, sending.due())

    def on_snapshot_ack(self, peer: int, ack: SnapshotAck) -> None:
        """A follower has more of its snapshot; when it has all, the log goes on behind it."""
        progress = self.progress[peer]
        sending = progress.sending
        if sending is None:
            return
        if ack.index == sending.index and ack.part < sending.acked:
            self.begin_sending(peer)  # it lost what it had: it was started again, or could not use it; or this is an old answer
            if progress.sending is not None and progress.sending.index == sending.index:
                progress.sending.earlier = sending.sent
            return
        sending.on_ack(ack)
        self.sending_at = min(self.sending_at, sending.due())
        if sending.done:
            progress.next = max(progress.next, sending.index + 1)
            progress.sending = None

    def go_on_sending(self) -> None:
        """Send the parts of snapshots that are due by now, and find out when the next one is."""
        under_way = [progress.sending for progress in self.progress.values() if progress.sending is not None and progress.linked]
        for sending in under_way:
            sending.fill()
        self.sending_at = min((sending.due() for sending in under_way), default=math.inf)

    def link_down(self, peer: int) -> None:
        """Send nothing to a peer without a link."""
        self.links.pop(peer, None)
        if peer in self.progress:
            self.progress[peer].linked = False

    def stored(self) -> int:
        """Return up to which index a majority has the log on disk, the leader itself included if it votes."""
        matches = [progress.match for progress in self.voting]
        if self.node.votes:
            matches.append(self.node.journal.durable_index)
        matches.sort(reverse=True)
        return matches[self.told.majority - 1]

    def confirmed(self, newest: int) -> int:
        """Return the latest round that a majority acknowledged; ``newest`` if nobody else is needed."""
        rounds = sorted((progress.round for progress in self.voting), reverse=True)
        return rounds[self.others - 1] if self.others else newest

    def heard_at(self) -> float:
        """Return when a majority, the leader included, had last been heard from: the older that is, the less the leader can know of its view."""
        heard = sorted((progress.heard_at for progress in self.voting), reverse=True)
        return heard[self.others - 1] if self.others else math.inf
