"""What a replica is at the moment, follower, candidate or leader, and how it becomes another.

The state that all roles share is the node's; what only a leader knows (the tail, waiting reads, a recovery under way) is made when it wins a view
and dropped when it learns of a higher one.  Nothing of it may outlive the view: what was speculated in it counts in it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.catchup import Receiving
from replica.core.election import Election
from replica.core.follower import Follower
from replica.core.leader import Leader
from replica.core.reads import StrongReads
from replica.core.recovery import Recovery, Telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.messages import Rejoin, SnapshotPart
    from replica.core.node import Node


@attrs.define(eq=False)
class Roles:
    """One replica's roles."""

    node: Node
    jitter: Callable[[], float]
    follower: Follower = attrs.field(init=False)
    election: Election = attrs.field(init=False)
    leader: Leader | None = None
    reads: StrongReads | None = None
    recovery: Recovery | None = None
    """Under way: we lead, and do not serve yet."""
    receiving: Receiving = attrs.field(init=False)
    """A snapshot that comes from a leader."""
    telling: Telling = attrs.field(init=False)
    """What a new leader has yet to be told."""
    links: dict[int, None] = attrs.Factory(dict)
    # {linked peer}
    on_changed: Callable[[], None] | None = None
    """Told when a recovery is done, or a leader resigns: what waited for the one is to be taken up or given up."""

    def __attrs_post_init__(self) -> None:
        self.follower = Follower(self.node)
        self.election = Election(self.node, self.follower, self.jitter)
        self.receiving = Receiving(self.node)
        self.telling = Telling(self.node)

    @property
    def name(self) -> str:
        """What this replica is: ``leader``, ``recovering`` (it leads, and does not serve yet), ``candidate``, ``follower``, ``learner`` (it gets the
        log and does not vote) or ``removed``."""
        node = self.node
        if self.leader is not None:
            return "leader" if self.recovery is None else "recovering"
        if not node.votes:
            return "removed" if node.config.id in node.configuration.removed else "learner"
        return "follower" if self.node.leader >= 0 else "candidate"

    def lead(self) -> Leader:
        """Become the leader of the present view; what that means for commands is decided by ``Leader.start`` or a recovery."""
        assert self.leader is None
        self.election.rest()
        leader = self.leader = Leader(self.node)
        self.reads = StrongReads(self.node, leader)
        for peer in self.links:
            leader.link_up(peer)
        return leader

    def win(self) -> None:
        """A majority voted for us: find out what there is to recover."""
        self.node.join(self.node.view, self.node.config.id, self.node.config.id)
        self.recovery = Recovery(self.node, self.lead())
        self.recovery.start()
        self.recover()

    def recover(self) -> None:
        """Go on with a recovery."""
        if self.recovery is not None and self.recovery.finish():
            self.recovery = None
            self._changed()

    def on_snapshot_part(self, source: int, part: SnapshotPart) -> None:
        """Take a part of the leader's snapshot."""
        if self.receiving.on_part(source, part):
            self.follower.match = max(self.follower.match, self.node.commit_index)
            self.follower.ack_due = True

    def join(self, view: int, leader: int) -> None:
        """Enter a higher view, or learn who leads this one; a leader becomes a follower."""
        led = self.leader is not None
        self.leader = self.reads = self.recovery = None
        self.node.join(view, leader, self.node.voted_for if view == self.node.view else -1)
        self.follower.new_view()
        self.telling.end()
        self.election.heard_leader()
        if led:
            self._changed()

    def on_rejoin(self, rejoin: Rejoin) -> None:
        """A follower forgot what it acknowledged in views up to ``rejoin.view``: lead a higher one, if this leader does not."""
        if self.leader is not None and self.leader.serving and rejoin.view >= self.node.view:
            self.join(rejoin.view, -1)
            if self.election.reopen():
                self.win()

    def _changed(self) -> None:
        if self.on_changed is not None:
            self.on_changed()

    # ------------------------------------------------------------------------------------------------------------------ events

    def link_up(self, peer: int) -> None:
        """A peer is linked."""
        self.links[peer] = None
        if self.leader is not None:
            self.leader.link_up(peer)
        if self.recovery is not None:
            self.recovery.link_changed(peer)

    def link_down(self, peer: int) -> None:
        """A peer's link broke."""
        self.links.pop(peer, None)
        if self.recovery is not None:
            self.recovery.link_changed(peer)
        if self.leader is not None:
            self.leader.link_down(peer)
        elif peer == self.node.leader:
            self.election.lost_leader()

    def on_persisted(self, batch: int) -> None:
        """Go on with what waited for the disk."""
        durable_before = self.node.journal.durable_index
        self.node.journal.on_persisted(batch)
        if self.leader is not None:
            self.leader.advance()
        else:
            self.follower.on_persisted(durable_before)

    def expire(self) -> None:
        """Run what is due: step down, ask again in a recovery, ask for votes."""
        now = self.node.now
        if self.leader is not None:
            if now > self._steps_down_at(self.leader):
                if self.leader.serving:
                    self.leader.close_turn()  # what was speculated on in this turn is on disk before its replies leave (docs/protocol.md, section 10)
                self.join(self.node.view, -1)  # who cannot be heard by a majority must not seem to lead
            elif self.recovery is not None:
                if now >= self.recovery.again_at:
                    self.recovery.ask()
            elif now >= self.leader.registrar.look_at:
                self.leader.registrar.expire_sessions()
        elif now >= self.election.at:
            if self.node.muted or not self.node.may_lead:
                self.election.heard_leader()  # only others can lead
            elif self.election.campaign(trial=True):
                self.win()

    def deadline(self) -> float:
        """When ``expire``, or a turn, is needed next."""
        if self.leader is not None:
            recovering = self.recovery.again_at if self.recovery is not None else float("inf")
            return min(self.leader.deadline(), self._steps_down_at(self.leader) + 1e-6, recovering)
        if self.node.witness.commands:
            return min(self.election.at, self.follower.forward_at)
        return self.election.at

    def _steps_down_at(self, leader: Leader) -> float:
        return leader.tracker.heard_at() + 2 * self.node.config.election_seconds
