"""A leader's answer to a strong read rests on what it pinned for it: that is on disk first."""

from __future__ import annotations

from replica.core.messages import AcceptAck, OpenSession, StrongRead, StrongReadReply
from statemachine.command import CAUSAL, PUT
from tests.replica.core.lone import CLIENT, Lone
from tests.replica.core.stand import record


def acknowledge(lone: Lone) -> None:
    """All followers have the whole log."""
    leader = lone.replica.leader
    assert leader is not None
    for peer in (1, 2):
        lone.tell(peer, AcceptAck(1, 1, lone.replica.node.log.last_index, leader.round, []))


def test_a_read_is_answered_when_what_it_pinned_is_on_disk_and_that_holds_after_a_restart() -> None:
    lone = Lone(0)
    lone.link_client()
    lone.turn()
    acknowledge(lone)
    lone.tell(CLIENT, OpenSession([b"t"], 30.0))
    acknowledge(lone)
    (session,) = lone.replica.node.sessions.table
    lone.tell(CLIENT, record(session, 1, (PUT | CAUSAL, b"x"), (PUT | CAUSAL, b"y")))
    lone.slow = True
    lone.tell(CLIENT, StrongRead([session], [1], [1], [1], [b"x"]))
    assert CLIENT not in lone.replies
    lone.sync()
    assert lone.replies[CLIENT] == [StrongReadReply(1, 1, False, 0, [session], [1], [1], [b"v"], [0])]
    lone.restart()
    chain = lone.replica.node.witness.chains[session]
    assert (chain.anchored, chain.accepted) == (1, 2)
