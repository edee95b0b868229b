"""What a voter says of its chains is on disk before it says so, and a restart finds it there."""

from __future__ import annotations

from replica.core.effects import Received
from replica.core.messages import Anchor, AnchorAck, Entry, RecordAck
from statemachine.command import CAUSAL, OPEN, PUT
from tests.replica.core.lone import CLIENT, Lone, accept
from tests.replica.core.stand import A, B, ack, record

OTHER, THIRD = ("link", 2), ("link", 3)
C = 3


def voter() -> Lone:
    """A follower with a disk; sessions 1 to 3 are open, each with a client of its own."""
    lone = Lone()
    for link in (CLIENT, OTHER, THIRD):
        lone.link_client(link)
    lone.tell(0, accept(1, (0, 0), Entry(1, 1, 0, [[OPEN, b"%d" % number, 30.0] for number in range(3)], [], [], [], [], b"", [], []), commit=1))
    return lone


def levels(lone: Lone, session: int) -> tuple[int, int, int]:
    chain = lone.replica.node.witness.chains[session]
    return chain.anchored, chain.accepted, chain.held


def test_an_anchor_is_answered_when_its_level_is_on_disk_and_holds_after_a_restart() -> None:
    lone = voter()
    lone.tell(CLIENT, record(A, 1, (PUT | CAUSAL, b"x"), (PUT | CAUSAL, b"y")))
    lone.slow = True
    lone.tell(CLIENT, Anchor([A], [1], [4]))
    assert CLIENT not in lone.replies
    lone.sync()
    assert lone.replies[CLIENT] == [AnchorAck(1, 1, [A], [4], [1])]
    lone.restart()
    assert levels(lone, A) == (1, 2, 2)
    lone.slow = False
    lone.link_client(OTHER)
    lone.tell(OTHER, record(B, 1, (PUT, b"x")))
    assert levels(lone, B) == (0, 0, 1), "what was pinned for a read conflicts after the restart, too"


def test_a_promotion_is_told_when_it_is_on_disk_and_no_rival_is_accepted_in_its_place_after_a_restart() -> None:
    lone = voter()
    lone.tell(THIRD, record(C, 1, (PUT | CAUSAL, b"z")))  # so that its chain is judged first when all come back
    lone.tell(CLIENT, record(A, 1, (PUT, b"x")))
    lone.tell(OTHER, record(B, 1, (PUT, b"x")))
    assert lone.replies[OTHER] == [ack(B, 1, 0)]
    lone.slow = True
    lone.tell(0, accept(1, (1, 1), Entry(2, 1, 3, [], [A], [1], [1], [1], bytes([PUT]), [b"x"], [b"v"]), commit=2))
    assert [section for section in lone.replies.get(OTHER, []) if isinstance(section, RecordAck)] == []
    lone.sync()
    assert ack(B, 1, 1) in lone.replies[OTHER]
    lone.slow = False
    lone.tell(THIRD, record(C, 2, (PUT, b"x")))
    assert lone.replies[THIRD] == [ack(C, 2, 1)]
    lone.restart()
    assert (levels(lone, B), levels(lone, C)) == ((1, 1, 1), (0, 1, 2))


def test_a_command_of_number_0_harms_nobody_before_the_opening_is_applied_again() -> None:
    """Numbers begin with 1. A restart knows what a chain held before it has applied that its session was opened."""
    lone = voter()
    lone.tell(CLIENT, record(A, 1, (PUT, b"x")))
    lone.restart()
    lone.link_client(CLIENT)
    lone.replica.step(Received(CLIENT, [record(A, 0, (PUT, b"x"))]), lone.now)
    lone.turn()
    assert levels(lone, A) == (1, 1, 1)
