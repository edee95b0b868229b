"""Elections: who leads the next view.

Raft's (Ongaro & Ousterhout, ATC'14, section 5.2) with the safeguards of Ongaro's dissertation: a candidate first asks whether it could win
(*trial*, section 9.6), so that who was cut off does not disturb; a voter that heard a leader lately refuses (section 4.2.3); a leader that hears
no majority steps down (section 6.2); a leader may hand over (section 3.10).  A vote is on disk before anybody is told of it, and so is a view.

Timers start elections and nothing else: they never decide what is true.  Chance comes in through ``jitter``, a number from 0 to 1 at each call.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

import attrs

from replica.core.messages import TakeOver, Vote, VoteReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.follower import Follower
    from replica.core.node import Node

VAIN_MAX = 5
"""Doublings of a campaign's time at most."""
RETRY_SHARE = 0.2
"""A candidate asks again after this share of ``election_seconds``, and up to three times as long by chance."""


class Stage(Enum):
    """How far a candidate is."""

    NONE = "none"
    TRIAL = "trial"
    VOTE = "vote"


@attrs.define(eq=False)
class Election:
    """One replica's part in elections, as voter and as candidate."""

    node: Node
    follower: Follower
    jitter: Callable[[], float]
    at: float = math.inf
    """When to ask for votes unless a leader is heard, seconds."""
    stage: Stage = Stage.NONE
    granted: dict[int, None] = attrs.Factory(dict)
    # {voter that granted}
    vain: int = 0
    """Campaigns since a leader was heard that won nothing: the next ones give their voters more time, whose disks may be slow."""

    def heard_leader(self) -> None:
        """The leader of our view spoke, or the view is new: wait for one."""
        self.stage = Stage.NONE
        self.at = self.node.now + self.node.config.election_seconds * (1.0 + self.jitter())

    def lost_leader(self) -> None:
        """The link to the leader broke: most often its process is gone, so ask soon; who still hears it will refuse."""
        self.follower.leader_seen_at = -math.inf
        self.at = min(self.at, self._soon())

    def rest(self) -> None:
        """We lead: nothing to wait for."""
        self.stage, self.at, self.vain = Stage.NONE, math.inf, 0

    def _soon(self) -> float:
        return self.node.now + self.node.config.election_seconds * RETRY_SHARE * (1.0 + 2.0 * self.jitter())

    # -------------------------------------------------------------------------------------------------------------------- candidate

    def campaign(self, *, trial: bool, forced: bool = False) -> bool:
        """Ask for votes in the next view; returns whether the own vote is a majority already."""
        node = self.node
        self.at = self._soon()
        self.stage = Stage.TRIAL if trial else Stage.VOTE
        self.granted = {node.config.id: None}
        if not trial:
            node.join(node.view + 1, -1, node.config.id)
            self.at = node.now + (self._soon() - node.now) * (1 << min(self.vain, VAIN_MAX))
            self.vain += 1
        asked = node.view + 1 if trial else node.view
        for peer in node.configuration.voters:
            if peer != node.config.id:
                node.send(peer, Vote(node.configuration.number, asked, node.log.last_index, node.log.last_view, trial, forced))
        return self._won_stage(forced=forced)

    def on_vote_reply(self, peer: int, reply: VoteReply) -> bool:
        """Count a vote; returns whether the view is won."""
        node = self.node
        trial = self.stage is Stage.TRIAL
        if self.stage is Stage.NONE or not reply.granted or reply.trial != trial or reply.asked != node.view + trial:
            return False
        self.granted[peer] = None
        return self._won_stage(forced=False)

    def _won_stage(self, *, forced: bool) -> bool:
        told = self.node.configuration
        if sum(voter in self.granted for voter in told.voters) < told.majority:
            return False
        if self.stage is Stage.TRIAL:
            return self.campaign(trial=False, forced=forced)
        self.rest()
        return True

    # ------------------------------------------------------------------------------------------------------------------------ voter

    def on_vote(self, peer: int, vote: Vote) -> None:
        """Answer who asks for a vote.

        The caller has joined the view of a real vote if ``follows`` allowed it.
        """
        node = self.node
        current = (vote.last_view, vote.last_index) >= (node.log.last_view, node.log.last_index)
        if vote.trial:
            granted = current and vote.view > node.view and not self.hears_leader() and not node.muted
        else:
            granted = current and not node.muted and vote.view == node.view and node.leader < 0 and node.voted_for in (-1, peer)
            if granted and node.voted_for != peer:
                node.join(node.view, -1, peer)
                self.at = node.now + node.config.election_seconds * (1.0 + self.jitter()) * (1 << min(self.vain, VAIN_MAX))
                self.vain += 1
        node.send(peer, VoteReply(node.configuration.number, node.view, vote.view, vote.trial, granted))

    def follows(self, vote: Vote) -> bool:
        """Whether a real vote's higher view is to be joined: not while a leader is alive, unless it wants to be followed."""
        return vote.forced or not self.hears_leader()

    def hears_leader(self) -> bool:
        """Whether this replica leads, or heard who leads within the shortest election timeout."""
        return self.node.leads or self.node.now - self.follower.leader_seen_at < self.node.config.election_seconds

    def reopen(self) -> bool:
        """Lead a higher view: a replica that forgot what it acknowledged can follow only there. Returns whether it is won at once."""
        return self.campaign(trial=False, forced=True)

    def on_take_over(self, order: TakeOver) -> bool:
        """The leader hands over to us; returns whether the view is won at once."""
        if order.view != self.node.view or self.node.leads or self.node.muted or not self.node.votes:
            return False
        return self.campaign(trial=False, forced=True)
