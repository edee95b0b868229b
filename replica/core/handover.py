"""Handing over: the leader lets a follower of its choice lead next, so that nobody waits for a timeout (Raft dissertation, section 3.10).

Nothing new enters its log (``Leader.busy``, ``registrar``, ``reconfiguration``) while it waits for the follower to have all of it, and until the
order to ask for votes at once has come to something: a candidate whose log is shorter is refused.  If it comes to nothing the leader goes on: nothing
was decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.messages import TakeOver

if TYPE_CHECKING:
    from replica.core.leader import Leader
    from replica.core.node import Node
    from replica.core.progress import Progress


@attrs.define(eq=False)
class HandingOver:
    """One attempt."""

    node: Node
    peer: int
    progress: Progress
    until: float
    """When it is given up, seconds."""
    ordered: bool = False

    def go_on(self, now: float) -> bool:
        """Give the order when it is time; returns whether the attempt still stands."""
        if not self.ordered and self.progress.match == self.node.log.last_index:
            self.node.send(self.peer, TakeOver(self.node.configuration.number, self.node.view))
            self.ordered = True
        return now < self.until


def hand_over(leader: Leader, peer: int) -> HandingOver | None:
    """Begin an attempt with a linked follower that was heard lately, the one that is furthest for ``peer`` -1; None if there is no such follower.

    One that hangs would keep its link, and be waited for: again and again by a leader that was removed, while nothing is taken.
    """
    node = leader.node
    voters, since = node.configuration.voters, node.now - node.config.election_seconds
    heard = {number: it.match for number, it in leader.progress.items() if it.linked and it.heard_at > since}
    able = {number: match for number, match in heard.items() if number in voters and peer in (-1, number)}
    if not able or not leader.serving:
        return None
    chosen = max(able, key=lambda number: (able[number], -number))
    return HandingOver(node, chosen, leader.progress[chosen], node.now + node.config.election_seconds)
