"""What other replicas say: replication, elections, recovery.

A message of an older view means nothing, except that its sender is told the present one; a message of a higher view makes this replica join it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m

if TYPE_CHECKING:
    from replica.core.divergence import Divergence
    from replica.core.leader import Leader
    from replica.core.messages import Message
    from replica.core.node import Node
    from replica.core.roles import Roles
    from replica.core.voter import Voter


@attrs.define(eq=False)
class Peers:
    """The side of a replica that the other voters speak to."""

    node: Node
    voter: Voter
    roles: Roles
    divergence: Divergence
    contacts: dict[int, tuple[str, ...]] = attrs.Factory(dict)
    # {replica: where it listens, as it said: native, WebSocket, admin}

    def on_message(self, source: int, message: Message) -> None:
        """Give a section of another replica to its handler; what makes no sense from this source is dropped by name."""
        node, roles = self.node, self.roles
        if source == node.config.id:
            node.drops.append((source, "not_a_peer"))
            return
        match message:
            case m.Accept():
                if self._follows(source, message.view):
                    roles.follower.on_accept(message)
                    if roles.telling.rest and node.log.last_view == node.view:
                        roles.telling.end()  # it serves
            case m.AcceptAck() | m.AcceptNack():
                if message.view > node.view:
                    roles.join(message.view, -1)
                elif message.view == node.view and roles.leader is not None and source in roles.leader.progress:  # else it was removed
                    self._on_acknowledged(roles.leader, source, message)
            case m.Forward():
                if roles.leader is not None:
                    self.voter.on_record(source, message.record, roles.leader, forwarded=True)
                    assert roles.reads is not None
                    roles.reads.on_appended(message.record.sessions)
            case m.Vote() | m.VoteReply() | m.TakeOver():
                self._on_election_message(source, message)
            case m.Collect():
                if self._follows(source, message.view) and not node.muted:
                    roles.telling.on_collect(source, message)
            case m.SnapshotPart():
                if self._follows(source, message.view):
                    roles.on_snapshot_part(source, message)
            case m.SnapshotAck():
                if message.view == node.view and roles.leader is not None and source in roles.leader.progress:
                    roles.leader.on_snapshot_ack(source, message)
            case m.Rejoin():
                roles.on_rejoin(message)
            case m.StateHash():
                self.divergence.on_hash(source, message)
            case m.Contact(addresses=[native, websocket, admin]):
                self.contacts[source] = tuple(address.decode(errors="replace") for address in (native, websocket, admin))
            case m.WitnessState():
                if roles.recovery is not None and message.view == node.view:
                    roles.recovery.on_state(source, message)
                    roles.recover()
            case _:
                node.drops.append((source, f"unexpected_{type(message).__name__}"))

    def _follows(self, source: int, view: int) -> bool:
        """Join the view of who leads it, if it is not an old one: whose leader is told so."""
        node, roles = self.node, self.roles
        if view < node.view:
            node.send(source, m.AcceptNack(node.configuration.number, node.view, 0, 0))
            return False
        if view > node.view or node.leader < 0:
            roles.join(view, source)
        if node.leader != source:
            node.drops.append((source, "not_the_leader"))
            return False
        roles.follower.leader_seen_at = node.now
        roles.election.heard_leader()
        roles.election.vain = 0
        return True

    def _on_election_message(self, source: int, message: m.Vote | m.VoteReply | m.TakeOver) -> None:
        node, roles, election = self.node, self.roles, self.roles.election
        match message:
            case m.Vote():
                if message.view > node.view and not message.trial and election.follows(message):
                    roles.join(message.view, -1)
                election.on_vote(source, message)
            case m.VoteReply():
                if message.view > node.view:
                    roles.join(message.view, -1)
                elif roles.leader is None and election.on_vote_reply(source, message):
                    roles.win()
            case m.TakeOver():
                if source == node.leader and election.on_take_over(message):
                    roles.win()

    def _on_acknowledged(self, leader: Leader, source: int, message: m.AcceptAck | m.AcceptNack) -> None:
        if isinstance(message, m.AcceptNack):
            leader.on_accept_nack(source, message)
        elif message.match_index > self.node.log.last_index:
            self.node.drops.append((source, "ack_beyond_log"))
        else:
            leader.on_accept_ack(source, message)
        if self.roles.reads is not None:
            self.roles.reads.on_confirmed()
