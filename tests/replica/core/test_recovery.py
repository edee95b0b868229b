from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.messages import (
    Accept,
    Collect,
    OpenSession,
    ReadIndex,
    SessionOpened,
    SpecReply,
    StrongRead,
    StrongReadReply,
    WitnessState,
)
from replica.core.recovery import Report, own_report, witness_states
from statemachine.command import CLOSE, EXPIRE, NOOP
from tests.replica.core.lone import CLIENT, ELECTION_SECONDS, accept
from tests.replica.core.successor import A, B, Successor, Told, columns, state

if TYPE_CHECKING:
    from replica.core.config import Mode


def numbers(session: int, *given: int) -> list[tuple[int, int]]:
    return [(session, number) for number in given]


def replies(successor: Successor, kind: type) -> list[object]:
    return [section for section in successor.replies.get(CLIENT, []) if isinstance(section, kind)]


# --------------------------------------------------------------------------------------------------------------------- what is recovered


def test_what_enough_of_those_heard_accepted_enters_the_log() -> None:
    successor = Successor()
    successor.holds(A, 1, "ss")
    successor.takes_over()
    assert successor.recovered() == []
    successor.hears(2, Told(A, "ss", anchored=2))
    assert successor.recovered() == numbers(A, 1, 2)


def test_what_too_few_accepted_is_appended_behind_like_a_new_command() -> None:
    """It is the leader's own, so it may as well be logged; but nothing that completed comes after it."""
    successor = Successor()
    successor.holds(A, 1, "s")
    successor.holds(B, 1, "s")
    successor.takes_over()
    successor.hears(2, Told(B, "s", anchored=1))
    assert successor.recovered() == [(B, 1), (A, 1)]


def test_what_only_another_holds_and_too_few_accepted_is_left_to_its_client() -> None:
    successor = Successor()
    successor.takes_over()
    successor.hears(2, Told(A, "s", anchored=1))
    assert successor.recovered() == []


def test_a_refused_command_is_not_counted() -> None:
    successor = Successor(5)
    successor.takes_over()
    for peer in (2, 3):
        successor.hears(peer, Told(A, "sss", anchored=1))
    assert successor.recovered() == numbers(A, 1)


def test_what_the_log_has_already_is_not_added() -> None:
    successor = Successor()
    successor.logs(A, 1, "ss")
    successor.holds(A, 1, "sss")
    successor.takes_over()
    successor.hears(2, Told(A, "sss", anchored=3))
    assert successor.recovered() == numbers(A, 3)


def test_a_command_may_be_had_from_anybody() -> None:
    """Two of three anchored it; the third alone still has the beginning, the others the end."""
    successor = Successor(5)
    successor.takes_over()
    successor.hears(2, Told(A, "s", anchored=2), Told(A, "s", anchored=2, first=2))
    successor.hears(3, Told(A, "s", anchored=2, first=2))
    assert successor.recovered() == numbers(A, 1, 2)


def test_recovered_commands_are_as_their_client_sent_them() -> None:
    successor = Successor()
    successor.holds(A, 1, "cs")
    successor.takes_over()
    successor.hears(2, Told(A, "cs", anchored=2))
    (entry,) = successor.new_entries()
    assert (entry.kinds, entry.keys, entry.values) == columns(A, 1, "cs")
    assert entry.system == [[NOOP]]


def test_causal_writes_before_an_accepted_command_come_with_it() -> None:
    successor = Successor()
    successor.holds(A, 1, "ccs")
    successor.takes_over()
    successor.hears(2, Told(A, "ccs", anchored=3))
    assert successor.recovered() == numbers(A, 1, 2, 3)


def test_causal_writes_that_anybody_holds_enter_behind_everything_that_may_have_completed() -> None:
    successor = Successor()
    successor.holds(B, 1, "s")
    successor.takes_over()
    successor.hears(2, Told(A, "cc"), Told(B, "sc", anchored=1))
    assert successor.recovered() == [(B, 1), (A, 1), (A, 2), (B, 2)]


def test_causal_writes_behind_a_strong_command_that_is_not_recovered_wait_for_their_client() -> None:
    successor = Successor()
    successor.takes_over()
    successor.hears(2, Told(A, "csc"))
    assert successor.recovered() == numbers(A, 1)


@pytest.mark.parametrize("end", [CLOSE, EXPIRE])
def test_a_session_whose_end_is_in_the_log_is_over(end: int) -> None:
    successor = Successor()
    successor.holds(A, 1, "s")
    successor.logs(A, 0, "", system=[[end, A]])
    successor.takes_over()
    successor.hears(2, Told(A, "sc", anchored=2))
    assert successor.recovered() == []


@pytest.mark.parametrize("end", [CLOSE, EXPIRE])
def test_a_session_that_ended_here_is_over_whatever_others_still_hold(end: int) -> None:
    successor = Successor()
    successor.logs(A, 0, "", system=[[end, A]])
    successor.tell(0, accept(1, (1, 2), commit=2))
    successor.takes_over()
    successor.hears(2, Told(A, "sc", anchored=2))
    assert successor.recovered() == []


def test_a_session_whose_opening_is_not_applied_here_yet_is_recovered_all_the_same() -> None:
    """Its witness had applied the opening: so it is committed, and in this log."""
    successor = Successor()
    successor.logs(A, 0, "", system=[[0, b"c", 30.0]])
    opened = successor.replica.node.log.last_position
    successor.takes_over()
    successor.hears(2, Told(opened, "cc"))
    assert successor.recovered() == numbers(opened, 1, 2)


# ----------------------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(("voters", "needed"), [(3, 1), (5, 2), (7, 3)])
def test_a_majority_is_heard_before_anything_is_decided(voters: int, needed: int) -> None:
    successor = Successor(voters)
    successor.takes_over()
    for peer in range(2, 2 + needed):
        assert (successor.role, successor.new_entries()) == ("recovering", [])
        successor.hears(peer)
    assert successor.role == "leader"
    assert [entry.system for entry in successor.new_entries()] == [[[NOOP]]]


def test_the_parts_of_an_answer_may_come_in_any_order_and_twice() -> None:
    successor = Successor()
    successor.takes_over()
    answer = successor.rounds[2]
    parts = [
        state(Told(A, "c"), round=answer, part=0, parts=3),
        state(Told(A, "c", first=2), round=answer, part=1, parts=3),
        state(Told(B, "c"), round=answer, part=2, parts=3),
    ]
    for part in (parts[2], parts[0], parts[2], parts[0]):
        successor.tell(2, part)
        assert successor.role == "recovering"
    successor.tell(2, parts[1])
    assert successor.recovered() == [(A, 1), (A, 2), (B, 1)]


def test_answers_of_another_round_or_view_or_to_nobody_s_question_are_nothing() -> None:
    successor = Successor()
    successor.takes_over()
    successor.tell(2, state(round=successor.rounds[2] + 7))
    successor.tell(2, state(round=successor.rounds[2], view=1))
    assert successor.role == "recovering"
    successor.hears(2)
    successor.hears(2, Told(A, "s", anchored=1))
    assert (successor.role, successor.recovered()) == ("leader", [])


def test_parts_of_different_rounds_are_not_put_together() -> None:
    successor = Successor()
    successor.takes_over()
    old = successor.rounds[2]
    successor.tell(2, state(round=old, part=0, parts=2))
    successor.remember(successor.wait(ELECTION_SECONDS))
    assert successor.rounds[2] != old
    successor.tell(2, state(round=successor.rounds[2], part=1, parts=2))
    successor.tell(2, state(round=old, part=0, parts=2))
    assert successor.role == "recovering"


def test_who_does_not_answer_is_asked_again() -> None:
    successor = Successor()
    successor.takes_over()
    again = [peer for peer, section in successor.wait(ELECTION_SECONDS / 2) if isinstance(section, Collect)]
    assert again == [0, 2]


def test_who_has_no_link_is_asked_when_it_has_one() -> None:
    successor = Successor()
    successor.unlink(0)
    successor.takes_over()
    assert list(successor.rounds) == [2]
    successor.link(0)
    assert 0 in [peer for peer, section in successor.wait(ELECTION_SECONDS / 2) if isinstance(section, Collect)]


def test_while_it_recovers_a_leader_is_heard_and_tells_nobody_to_append() -> None:
    successor = Successor()
    sent = successor.takes_over()
    accepts = [section for _, section in sent if isinstance(section, Accept)]
    assert accepts
    assert all(section.entries == [] for section in accepts)


def test_a_witness_joins_the_view_before_it_answers() -> None:
    """Whatever it acknowledges afterwards counts in the new view only."""
    witness = Successor()
    witness.holds(A, 1, "s")
    sent = witness.tell(2, Collect(1, 2, 5))
    assert sent[-1] == (2, state(Told(A, "s", anchored=1), round=5))
    assert (witness.replica.node.view, witness.replica.node.leader) == (2, 2)


def test_a_witness_tells_what_it_holds_in_parts_of_bounded_size() -> None:
    witness = Successor(collect_bytes_max=8)
    for session in (A, B):
        for first in (1, 3, 5):
            witness.holds(session, first, "sc")
    parts = witness_states(witness.replica.node, Collect(1, 1, 3))
    assert [(part.part, part.parts, part.round) for part in parts] == [(place, len(parts), 3) for place in range(len(parts))]
    assert len(parts) >= 3
    told, own = Report(), own_report(witness.replica.node.witness)
    for part in parts:
        told.add(part)
    assert told.anchored == own.anchored == {A: 5, B: 5}
    flat = [
        {
            session: [item for run in runs for item in zip(range(run.first, run.last + 1), run.kinds, run.keys, run.values, strict=True)]
            for session, runs in report.runs.items()
        }
        for report in (told, own)
    ]
    assert flat[0] == flat[1]


def test_a_witness_that_holds_nothing_says_so() -> None:
    (only,) = witness_states(Successor().replica.node, Collect(1, 1, 3))
    assert only == WitnessState(1, 1, 3, 0, 1, [], [], [], [], b"", [], [], [])


# ----------------------------------------------------------------------------------------------------------------------------- the gate


def served() -> Successor:
    successor = Successor()
    successor.takes_over()
    successor.hears(2)
    return successor


def test_nothing_is_speculative_before_the_view_s_first_entry_is_applied() -> None:
    successor = served()
    successor.holds(A, 1, "s")
    assert replies(successor, SpecReply) == []
    successor.acknowledged(2)
    successor.holds(A, 2, "s")
    assert [reply.firsts for reply in replies(successor, SpecReply) if isinstance(reply, SpecReply)] == [[2]]


def test_what_was_recovered_commits_with_the_view_s_first_entry() -> None:
    successor = Successor()
    successor.logs(A, 1, "s")
    successor.holds(A, 1, "ss")
    successor.takes_over()
    successor.hears(2, Told(A, "ss", anchored=2))
    assert successor.replica.node.commit_index == 1
    successor.acknowledged(2)
    assert successor.replica.node.commit_index == successor.replica.node.log.last_index
    assert successor.replica.node.sessions.table[A].applied == 2


def test_records_that_come_during_recovery_enter_the_log_behind_it() -> None:
    successor = Successor()
    successor.takes_over()
    successor.holds(B, 1, "s")
    assert successor.new_entries() == []
    successor.hears(2, Told(A, "c"))
    assert successor.recovered() == [(A, 1), (B, 1)]


def test_strong_reads_and_openings_wait_until_recovery_is_done() -> None:
    successor = Successor()
    successor.takes_over()
    successor.tell(CLIENT, StrongRead([A], [1], [1], [0], [b"x"]), OpenSession([b"new"], 30.0))
    assert successor.new_entries() == []
    successor.hears(2)
    assert replies(successor, StrongReadReply) == [], "the read waits for the first entry too"
    successor.acknowledged(2)
    assert len(replies(successor, StrongReadReply)) == len(replies(successor, SessionOpened)) == 1


def test_an_index_read_that_came_during_recovery_sees_what_was_recovered() -> None:
    successor = Successor()
    successor.holds(A, 1, "s")
    successor.takes_over()
    successor.tell(CLIENT, ReadIndex([B], [1], [1], [0], [b"1-1"]))
    successor.hears(2, Told(A, "s", anchored=1))
    successor.acknowledged(2)
    assert [answer.values for answer in replies(successor, StrongReadReply) if isinstance(answer, StrongReadReply)] == [[b"1"]]


def test_what_waits_for_recovery_is_bounded() -> None:
    successor = Successor(postponed_max=2)
    successor.takes_over()
    for number in range(5):
        successor.tell(CLIENT, StrongRead([A], [1 + number], [1], [0], [b"x"]))
    assert len(successor.replica.clients.postponed) == 2


def test_what_waits_for_recovery_ends_with_its_link() -> None:
    successor = Successor()
    successor.takes_over()
    successor.tell(CLIENT, OpenSession([b"new"], 30.0))
    successor.unlink(CLIENT)  # type: ignore[arg-type]
    successor.hears(2)
    assert [entry.system for entry in successor.new_entries()] == [[[NOOP]]]


def test_what_waits_for_recovery_ends_with_the_view() -> None:
    successor = Successor()
    successor.takes_over()
    successor.tell(CLIENT, StrongRead([A], [1], [1], [0], [b"x"]))
    successor.tell(2, accept(3))
    assert (successor.replica.clients.postponed, successor.replica.recovery) == ([], None)


# -------------------------------------------------------------------------------------------------------------------------------- ht


def test_in_ht_recovery_ends_at_a_hole_and_the_rest_is_given_up() -> None:
    """The hole is a causal write that only the old leader had: nothing behind it was fast."""
    successor = Successor(mode="ht")
    successor.holds(A, 1, "s")
    successor.holds(A, 3, "s", previous=1)
    successor.takes_over()
    successor.hears(2, Told(A, "s", anchored=1), Told(A, "s", anchored=3, first=3))
    assert successor.recovered() == numbers(A, 1)
    assert successor.replica.node.witness.chains[A].held == 1
    successor.holds(A, 2, "cs")
    assert successor.recovered() == numbers(A, 1, 2, 3)


def test_in_ht_what_follows_the_log_is_no_hole() -> None:
    successor = Successor(mode="ht")
    successor.logs(A, 1, "cc")
    successor.holds(A, 3, "s", previous=0)
    successor.takes_over()
    successor.hears(2, Told(A, "s", anchored=3, first=3))
    assert successor.recovered() == numbers(A, 3)


def test_in_ht_the_given_up_part_of_a_chain_is_forgotten_by_the_disk_too() -> None:
    successor = Successor(mode="ht")
    successor.holds(A, 2, "s", previous=0)
    successor.takes_over()
    successor.hears(2)
    successor.restart()
    assert successor.replica.node.witness.commands == 0


@pytest.mark.parametrize("mode", ["ho", "curp"])
def test_elsewhere_a_hole_is_our_own_bug(mode: Mode) -> None:
    successor = Successor(5, mode)
    successor.takes_over()
    successor.hears(2, Told(A, "s", anchored=3, first=3))
    with pytest.raises(AssertionError, match="held by none"):
        successor.hears(3, Told(A, "s", anchored=3, first=3))
