"""Changing who belongs to the cluster, while it serves: the leader's part.

One change at a time, through the log, by Raft's rules for single-server changes (Raft dissertation, chapter 4): a leader begins one only when an
entry of its own view is committed and no other change is under way (Ongaro's correction of 2015, raft-dev), and from the moment the entry is in
its log all quorums are those of the new configuration.

The fast path needs one thing more.  What completed on it in the old configuration rests on the old one's witnesses, and a leader of the new one
would look for it with other numbers.  So the leader *drains* first: it speculates on nothing more, and logs the change when everything it
speculated on is committed.  When the change is committed too, the fast path opens again, under the new configuration's number.

A *learner* that has caught up becomes a voter by itself; one that replaces a voter waits until that has left, so that a dead voter is not one of
four, unless the others are no majority without it.  A leader that is removed goes on until its successor can lead.

What must not live here: what a configuration is (``configuration``); how quorums are counted (``leader``, ``recovery``, ``election``).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from replica.core.handover import hand_over

if TYPE_CHECKING:
    from replica.core.configuration import Configuration
    from replica.core.leader import Leader
    from replica.core.node import Node

NEVER = 1 << 62
"""An index that no log reaches."""
CAUGHT_UP_ENTRIES = 64
"""A learner that lacks no more entries than this votes: under load it always lacks those that are on their way."""
MEMBERS_MAX = 15
"""Voters and learners; more are refused, but for one that replaces another."""
ADDRESS_CHARACTERS_MAX = 256


class ChangeRefused(Exception):
    """A change may not be made, or not now; the message says why."""


class NotNow(ChangeRefused):
    """A change may not be made at this moment, for what others do or do not do; it may be asked for again."""


@attrs.define(eq=False)
class Reconfiguration:
    """Changes of the configuration in one view."""

    node: Node
    leader: Leader
    wanted: Configuration | None = None
    """What is logged when the fast path is drained."""
    drained_at: int = 0
    """Everything speculated on is committed when this index is."""

    # ------------------------------------------------------------------------------------------------------------------ asked for

    def add(self, member: int, address: str, replaces: int = -1) -> None:
        """Begin to add a learner, which votes when it has caught up.

        Args:
            member: an id that was never used.
            address: where it listens for replicas and clients, ``host:port``.
            replaces: the voter that leaves for it, -1 for nobody.

        Raises:
            ChangeRefused: not now, or not at all.
        """
        now = self.node.configuration
        if len(address) > ADDRESS_CHARACTERS_MAX:
            raise ChangeRefused(f"the address of replica {member} has {len(address)} characters: no more than {ADDRESS_CHARACTERS_MAX}")
        if member in now.members:
            raise ChangeRefused(f"replica {member} is a member already")
        if member in now.removed:
            raise ChangeRefused(f"replica {member} was removed, and what it had promised may be lost: take an id that was never used")
        if replaces >= 0 and replaces not in now.voters:
            raise ChangeRefused(f"replica {replaces} is no voter: there is nobody to replace")
        if any(voter == replaces for _, voter in now.replacing):
            raise ChangeRefused(f"replica {replaces} is being replaced already")
        if replaces < 0 and len(now.members) >= MEMBERS_MAX:
            raise ChangeRefused(f"the cluster has {len(now.members)} members: no more than {MEMBERS_MAX}")
        self._begin(now.with_learner(member, address, replaces))

    def remove(self, member: int) -> None:
        """Begin to remove a voter or learner for ever.

        Raises:
            ChangeRefused: not now, or not at all: who is left must be able to go on.
        """
        now = self.node.configuration
        if member not in now.members:
            raise ChangeRefused(f"replica {member} is no member")
        after = now.without(member)
        if not after.voters:
            raise ChangeRefused(f"replica {member} is the last voter")
        heard = self._heard(after)
        if member in now.voters and len(heard) < after.majority:
            which = f"only {'replica' if len(heard) == 1 else 'replicas'} {_names(heard)}" if heard else "none"
            raise NotNow(f"without replica {member} the voters are {_names(after.voters)}, and {which} of them can be heard: no majority")
        self._begin(after)

    def _heard(self, after: Configuration) -> list[int]:
        return [voter for voter in after.voters if self._alive(voter)]

    def _alive(self, voter: int) -> bool:
        node = self.node
        if voter == node.config.id:
            return True
        progress = self.leader.progress.get(voter)
        if progress is None or not progress.alive(node.now - node.config.election_seconds):
            return False
        return node.config.durable or progress.match >= self.leader.open_index  # who has forgotten is no help before it has that (``Node.muted``)

    def _begin(self, wanted: Configuration) -> None:
        reason = self.obstacle()
        if reason:
            raise NotNow(reason)
        self.wanted = wanted
        self.drained_at = self.leader.next_index
        self.leader.closed_before = NEVER

    def obstacle(self) -> str:
        """Say why no change may begin now; nothing if one may."""
        node, leader = self.node, self.leader
        if not leader.serving or not leader.open:
            return f"view {node.view} is not open yet: try again"
        if self.wanted is not None or node.configurations.index > node.commit_index:
            return "another change is under way: one at a time"
        if leader.handing_over is not None:
            return "the leader hands over: try again"
        return ""

    # ------------------------------------------------------------------------------------------------------------------ every turn

    def go_on(self) -> None:
        """Take the next step of whatever is under way; called at the end of each turn, when its entry is made."""
        node, leader = self.node, self.leader
        if self.wanted is not None:
            if node.commit_index >= self.drained_at and leader.handing_over is None:
                self._log(self.wanted)
            return
        told = node.configuration
        if (told.learners or told.replacing) and not self.obstacle():
            self._promote(told)
        if not node.votes and leader.serving and node.configurations.index <= node.commit_index and leader.handing_over is None:
            leader.handing_over = hand_over(leader, -1)

    def _log(self, wanted: Configuration) -> None:
        """Log what was begun, unless a voter of it has been lost since that it cannot do without: then nothing changes."""
        self.wanted = None
        if wanted.voters != self.node.configuration.voters and len(self._heard(wanted)) < wanted.majority:
            self.leader.closed_before = self.drained_at
        else:
            self.leader.log_configuration(wanted)

    def _promote(self, told: Configuration) -> None:
        """Let who has caught up vote, and who is replaced leave: first the one who leaves, unless the others cannot do without it."""
        for successor, replaced in told.replacing:
            if successor in told.voters or self._caught_up(successor):
                with suppress(ChangeRefused):
                    self.remove(replaced)
                    return
        for learner in told.learners:
            after = told.with_voter(learner)
            if self._caught_up(learner) and len(self._heard(after)) >= after.majority:
                self._begin(after)
                return

    def _caught_up(self, learner: int) -> bool:
        progress = self.leader.progress[learner]
        lacks = self.node.log.last_index - progress.match
        return self._alive(learner) and progress.sending is None and progress.match > 0 and lacks <= CAUGHT_UP_ENTRIES


def _names(members: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, members))
