from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.flights import CompletionKind
from replica.core.messages import Leader, RecordAck, SpecReply
from statemachine.command import CAS_VALUE, PUT
from tests.replica.core.caller import SESSION, Caller, brief, results, values_of

if TYPE_CHECKING:
    from replica.core.config import Mode

# -------------------------------------------------------------------------------------------------------------------- the fast path


def test_the_leaders_word_and_everybodys_acceptance_complete_a_command_of_three() -> None:
    caller = Caller()
    caller.put(b"x", handle="p")
    assert caller.ack(1, 1) == []
    assert caller.speculate(1, 1) == []
    assert brief(caller.ack(2, 1)) == [("p", 0, 1, True)]
    assert caller.session.in_flight == 0


@pytest.mark.parametrize(("voters", "acks"), [(3, 2), (5, 3), (7, 5)])
def test_the_fast_quorum_counts_the_leader_once(voters: int, acks: int) -> None:
    caller = Caller(voters)
    caller.put(b"x", handle="p")
    caller.speculate(1, 1)
    caller.ack(0, 1)  # the leader is a witness too, and is in the quorum already
    for replica in range(1, acks):
        assert caller.ack(replica, 1) == []
    assert brief(caller.ack(acks, 1)) == [("p", 0, 1, True)]


def test_acceptances_alone_complete_nothing() -> None:
    """D2: a majority, or all, of the acks without the leader's speculation is not enough."""
    caller = Caller()
    caller.put(b"x")
    assert [caller.ack(replica, 1) for replica in (0, 1, 2)] == [[], [], []]


def test_held_is_not_accepted() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.speculate(1, 1)
    caller.ack(1, 1)
    assert caller.ack(2, 1, 0) == []
    assert brief(caller.ack(2, 1, 1)) == [(None, 0, 1, True)], "a promotion is an ack like any other"


def test_a_quorum_completes_up_to_what_all_of_it_accepted() -> None:
    caller = Caller()
    caller.put(b"a", b"b", b"c", handle="p")
    caller.put(b"d", handle="q")
    caller.speculate(1, 4)
    caller.ack(1, 4)
    assert brief(caller.ack(2, 2)) == [("p", 0, 2, True)]
    assert brief(caller.ack(2, 4)) == [("p", 2, 1, True), ("q", 0, 1, True)]


def test_only_what_was_speculated_completes_fast() -> None:
    caller = Caller()
    caller.put(b"a", b"b", handle="p")
    for replica in (1, 2):
        caller.ack(replica, 2)
    assert brief(caller.speculate(1, 1)) == [("p", 0, 1, True)]
    assert brief(caller.applied(0, 2)) == [("p", 1, 1, False)]


def test_what_follows_a_command_that_was_not_speculated_waits_for_it() -> None:
    caller = Caller()
    caller.put(b"a", handle=1)
    caller.put(b"b", handle=2)
    caller.put(b"c", handle=3)
    for replica in (1, 2):
        caller.ack(replica, 3)
    assert brief(caller.speculate(1, 1)) == [(1, 0, 1, True)]
    assert caller.speculate(3, 3) == [], "2 waits for its commit"
    assert brief(caller.applied(0, 2)) == [(2, 0, 1, False), (3, 0, 1, True)]


def test_a_speculation_that_overtakes_the_one_before_it_completes_nothing_early() -> None:
    caller = Caller()
    caller.put(b"a", handle=1)
    caller.put(b"b", handle=2)
    for replica in (1, 2):
        caller.ack(replica, 2)
    assert caller.speculate(2, 2) == []
    caller.speculate(1, 1)
    assert [handle for handle, *_ in brief(caller.applied(0, 2))] in ([1, 2], [2])


def test_causal_writes_between_speculated_commands_are_no_gap() -> None:
    caller = Caller()
    caller.put(b"a", handle=1)
    caller.put(b"b", causal=True, handle=2)
    caller.put(b"c", handle=3)
    caller.speculate(1, 1)
    caller.speculate(3, 3)
    caller.ack(1, 3)
    assert {handle for handle, *_ in brief(caller.ack(2, 3))} == {1, 3}


def test_only_the_leader_of_the_view_speculates() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.ack(1, 1)
    caller.ack(2, 1)
    assert caller.speculate(1, 1, replica=2) == []


# ------------------------------------------------------------------------------------------------------------------------- views


def test_acceptances_of_different_views_are_never_counted_together() -> None:
    """D8: the prototype kept them in one set."""
    caller = Caller()
    caller.put(b"x")
    caller.speculate(1, 1)
    caller.ack(1, 1)
    assert caller.ack(2, 1, view=2) == []
    assert caller.ack(1, 1) == [], "of the old view: not counted any more"
    assert caller.speculate(1, 1) == [], "nor is the old leader's word"


def test_a_leaders_word_counts_when_its_configuration_s_voters_are_known() -> None:
    caller = Caller()
    caller.put(b"x")
    caller.ack(1, 1)
    caller.ack(2, 1)
    assert caller.hear(0, SpecReply(2, 1, 0, [SESSION], [1], [1], [])) == []
    assert len(caller.speculate(1, 1)) == 1


def test_a_witness_word_counts_in_its_view_whatever_configuration_it_knows() -> None:
    """What it holds counts for who leads next; among whom to count, the leader says."""
    caller = Caller()
    caller.put(b"x")
    caller.speculate(1, 1)
    caller.ack(1, 1)
    assert len(caller.ack(2, 1, config=2)) == 1


def test_an_old_views_outcome_is_not_the_new_ones() -> None:
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.speculate(1, 1, [1, 1])
    caller.ack(2, 0, view=2)
    assert caller.applied(1, 1, view=2) == [], "committed, but by another leader: the outcome may be another one"
    assert values_of(caller.applied(0, 1, [1, 0], view=2)) == [False]


def test_an_applied_command_is_complete_whatever_the_view() -> None:
    caller = Caller()
    caller.put(b"x", handle="p")
    caller.ack(2, 0, view=5)
    assert brief(caller.applied(0, 1, view=1)) == [("p", 0, 1, False)]


# --------------------------------------------------------------------------------------------------------------------- the slow path


def test_an_applied_command_completes_slowly_whoever_says_so() -> None:
    caller = Caller()
    caller.put(b"x", b"y", handle="p")
    assert brief(caller.applied(1, 1)) == [("p", 0, 1, False)]
    assert brief(caller.applied(0, 2)) == [("p", 1, 1, False)]


def test_completions_add_up_to_the_submission_and_come_in_order() -> None:
    caller = Caller()
    for handle in "abc":
        caller.put(*[b"k"] * 3, handle=handle)
    done = caller.applied(0, 2) + caller.applied(0, 4) + caller.applied(1, 4) + caller.applied(0, 9)
    assert brief(done) == [("a", 0, 2, False), ("a", 2, 1, False), ("b", 0, 1, False), ("b", 1, 2, False), ("c", 0, 3, False)]


def test_a_command_completes_once() -> None:
    caller = Caller()
    caller.put(b"x", handle="p")
    caller.speculate(1, 1)
    caller.ack(1, 1)
    assert len(caller.ack(2, 1)) == 1
    assert [caller.applied(0, 1), caller.applied(1, 1), caller.speculate(1, 1), caller.ack(2, 1)] == [[]] * 4


# -------------------------------------------------------------------------------------------------------------------------- outcomes


def test_outcomes_of_commands_in_flight_are_kept_apart() -> None:
    """D4: the prototype had one value for all outstanding commands."""
    caller = Caller()
    caller.cas(b"a", b"b", b"c", handle="p")
    caller.cas(b"d", handle="q")
    for replica in (1, 2):
        caller.ack(replica, 4)
    done = caller.speculate(1, 4, [1, 1], [2, 0], [3, 1], [4, 0])
    assert results(done) == [("p", [True, False, True]), ("q", [False])]


def test_a_mixed_submission_has_an_outcome_for_each_cas_and_none_for_the_others() -> None:
    caller = Caller()
    caller.session.record(bytes([PUT, CAS_VALUE, PUT]), [b"a", b"b", b"c"], [b"1", [None, b"2"], b"3"], "p", 0.0)
    assert values_of(caller.applied(0, 3, [2, 1])) == [None, True, None]


def test_outcomes_find_their_run_in_a_reply_of_many_sessions() -> None:
    caller = Caller()
    other = caller.open(b"u", 8)
    caller.cas(b"a", b"b", handle="p")
    other.record(bytes([PUT, CAS_VALUE]), [b"c", b"d"], [b"1", [None, b"2"]], "q", 0.0)
    for replica in (1, 2):
        caller.ack(replica, 2)
    for replica in (1, 2):
        caller.hear(replica, RecordAck(1, 1, [8], [2], [2], []))
    done = caller.hear(0, SpecReply(1, 1, 0, [8, 7, 9], [1, 1, 1], [2, 1, 2], [[1, 1], [2, 1], [3, 0], [4, 1]]))
    assert {c.handle: c.values for c in done} == {"p": [False, True], "q": [None, True]}


def test_a_committed_cas_without_its_outcome_waits_for_the_leaders_word() -> None:
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.put(b"y", handle="p")
    assert caller.applied(1, 2) == [], "the home tells no outcomes; what follows keeps its turn"
    assert not caller.session.idle, "a resend asks for it"
    done = caller.applied(0, 2, [1, 1])
    assert results(done) == [("c", [True]), ("p", None)]


def test_a_speculated_outcome_counts_on_the_fast_path_only() -> None:
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.speculate(1, 1, [1, 1])
    assert caller.applied(1, 1) == [], "accepted by too few: the leader's word alone is no result"
    assert values_of(caller.applied(0, 1, [1, 1])) == [True]


def test_of_two_answers_the_applied_one_is_taken() -> None:
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.speculate(1, 1, [1, 1])
    assert values_of(caller.applied(0, 1, [1, 0])) == [False]


# ---------------------------------------------------------------------------------------------------------------------- causal writes


def test_a_causal_write_is_complete_when_its_home_holds_it() -> None:
    caller = Caller()
    caller.put(b"x", b"y", causal=True, handle="w")
    assert caller.ack(2, 2) == []
    assert caller.ack(0, 2) == []
    assert brief(caller.ack(1, 1, 0)) == [("w", 0, 1, False)]
    assert brief(caller.applied(0, 2)) == [("w", 1, 1, False)], "or when it is committed"


def test_in_ht_the_leader_must_hold_it() -> None:
    caller = Caller(mode="ht")
    caller.put(b"x", causal=True, handle="w")
    assert caller.ack(1, 1) == []
    assert brief(caller.ack(0, 1)) == [("w", 0, 1, False)]


def test_in_ht_what_a_follower_held_is_not_what_it_holds_as_leader() -> None:
    """A follower holds strong commands without the causal ones between them; in a new view it may lead."""
    caller = Caller(mode="ht")
    caller.put(b"x", causal=True, handle="w")
    caller.put(b"y", handle="s")
    caller.ack(1, 2)
    assert caller.hear(1, Leader(1, 2, 1)) == []
    assert caller.ack(1, 2, view=1) == []
    assert brief(caller.ack(1, 2, view=2)) == [("w", 0, 1, False)]


def test_causal_and_strong_commands_complete_each_in_their_own_order() -> None:
    caller = Caller()
    caller.put(b"a", handle=1)
    caller.put(b"b", causal=True, handle=2)
    caller.put(b"c", causal=True, handle=3)
    assert [handle for handle, *_ in brief(caller.ack(1, 3, 0))] == [2, 3]
    assert [handle for handle, *_ in brief(caller.applied(0, 3))] == [1]


@pytest.mark.parametrize("mode", ["paxos", "curp"])
def test_where_the_mode_has_no_causal_commands_they_are_strong(mode: Mode) -> None:
    caller = Caller(mode=mode)
    caller.put(b"x", causal=True, handle="w")
    caller.causal_read(b"x", handle="r")
    frame = caller.sent()[0]
    assert [type(message).__name__ for message in frame] == ["Record", "StrongRead"]
    assert frame[0].kinds == bytes([PUT])  # type: ignore[union-attr]
    assert caller.ack(1, 1) == []


# ----------------------------------------------------------------------------------------------------------------------------- flush


def test_a_flush_waits_for_the_commit_of_what_was_submitted_before_it() -> None:
    caller = Caller()
    caller.session.flush("none")
    assert [c.kind for c in caller.hear(0)] == [CompletionKind.FLUSHED]
    caller.put(b"x", causal=True)
    caller.session.flush("one")
    caller.put(b"y", causal=True)
    caller.ack(1, 2)
    assert [c.handle for c in caller.applied(0, 1) if c.kind is CompletionKind.FLUSHED] == ["one"]


def test_a_flush_waits_for_the_very_last_of_them() -> None:
    caller = Caller()
    caller.put(b"x", b"y", causal=True)
    caller.session.flush("both")
    caller.ack(1, 2)
    assert [c.handle for c in caller.applied(0, 1) if c.kind is CompletionKind.FLUSHED] == []
    assert [c.handle for c in caller.applied(0, 2) if c.kind is CompletionKind.FLUSHED] == ["both"]


def test_what_is_complete_below_a_command_is_said_with_it() -> None:
    """Results below it may be forgotten by the replicas."""
    caller = Caller()
    caller.put(b"a")
    caller.put(b"b", causal=True)
    caller.sent()
    caller.put(b"c")
    assert caller.sent()[0][0].incomplete == [1]  # type: ignore[union-attr]
    caller.applied(0, 1)
    caller.put(b"d")
    assert caller.sent()[0][0].incomplete == [2]  # type: ignore[union-attr]
    caller.ack(1, 4, 0)
    caller.put(b"e", causal=True)
    assert caller.sent()[0][0].incomplete == [3]  # type: ignore[union-attr]
