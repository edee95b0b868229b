"""Mode ``ht``: a new leader's chain may lack causal writes that only the old leader was sent."""

from __future__ import annotations

from replica.core.messages import Entry, RecordAck, VoteReply
from statemachine.command import NOOP
from tests.replica.core.lone import CLIENT, LONG, accept
from tests.replica.core.successor import A, B, Successor, Told, state


def acks_of(replica: Successor) -> list[RecordAck]:
    return [section for section in replica.replies.get(CLIENT, []) if isinstance(section, RecordAck)]


def test_a_chain_is_given_up_behind_what_it_holds_even_where_the_log_reaches_further() -> None:
    """The log's end may be cut in a later view; a chain that claimed it would then hold what is nowhere."""
    replica = Successor(5, "ht")
    replica.logs(A, 1, "c")  # in view 1's log, not committed
    replica.holds(A, 3, "s", previous=0)  # behind a hole
    replica.takes_over()
    replica.hears(2)
    replica.hears(3)
    assert replica.replica.node.witness.chains[A].held == 0
    replica.tell(3, accept(3, (1, 1), Entry(2, 3, 2, [[NOOP]], [], [], [], [], b"", [], [])))  # view 3's leader never had #1
    replica.now += LONG
    replica.win(2, 3)
    recovery = replica.replica.recovery
    assert recovery is not None
    rounds = {peer: answer.round for peer, answer in recovery.answers.items()}
    for peer in (2, 3):
        replica.tell(peer, state(round=rounds[peer], view=4))
    replica.holds(A, 1, "cc")
    assert (A, 1) in replica.recovered()


def test_what_a_new_leader_gave_up_it_does_not_acknowledge_any_more() -> None:
    replica = Successor(3, "ht")
    replica.now += LONG
    replica.replica.election.at = replica.now
    replica.turn()
    replica.tell(2, VoteReply(1, 1, 2, trial=True, granted=True))
    replica.slow = True
    replica.holds(A, 2, "s", previous=0)  # the verdict waits for the disk
    replica.tell(2, VoteReply(1, 2, 2, trial=False, granted=True))
    assert replica.replica.node.witness.chains[A].accepted == 0
    replica.sync()
    assert all(level == 0 for ack in acks_of(replica) for level in ack.accepted)


def test_recovery_ends_at_a_hole_of_one_command_however_many_hold_what_follows() -> None:
    replica = Successor(5, "ht")
    replica.takes_over()
    for peer in (2, 3):
        replica.hears(peer, Told(A, "s", anchored=2, first=2), Told(B, "s", anchored=1))
    assert replica.recovered() == [(B, 1)]
    replica.holds(A, 1, "cs")
    assert replica.recovered() == [(B, 1), (A, 1), (A, 2)]


def test_a_causal_write_in_the_log_is_no_hole_between_the_strong_ones_around_it() -> None:
    """All three were committed at the old leader, which then took the next one fast: the new one must not give it up."""
    successor = Successor(5, "ht")
    successor.holds(A, 1, "s")
    successor.logs(A, 1, "sc")
    successor.holds(A, 3, "s", previous=1)
    successor.takes_over()
    assert successor.replica.node.witness.chains[A].held == 3
    successor.hears(2, Told(A, "s", anchored=1), Told(A, "s", anchored=3, first=3))
    successor.hears(3)
    assert successor.recovered() == [(A, 3)]


def test_a_causal_write_that_the_old_leader_tells_stands_behind_all_that_may_have_completed() -> None:
    """Witnesses that accepted what follows it never saw it: it may conflict with what they accepted of others, and that completed."""
    successor = Successor(5, "ht")
    successor.takes_over()
    successor.hears(2, Told(A, "sccs", anchored=4), Told(B, "s", anchored=1))
    successor.hears(3, Told(A, "s", anchored=1), Told(A, "s", anchored=4, first=4), Told(B, "s", anchored=1))
    assert successor.recovered() == [(A, 1), (B, 1), (A, 2), (A, 3)]


def test_a_causal_write_first_of_all_is_no_part_of_what_may_have_completed() -> None:
    successor = Successor(5, "ht")
    successor.takes_over()
    successor.hears(2, Told(A, "cs", anchored=2), Told(B, "s", anchored=1))
    successor.hears(3, Told(A, "s", anchored=2, first=2), Told(B, "s", anchored=1))
    assert successor.recovered() == [(B, 1), (A, 1)]
