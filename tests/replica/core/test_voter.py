from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from replica.core.config import CoreConfig, Mode
from replica.core.effects import LinkDown, LinkUp, Received
from replica.core.messages import (
    Anchor,
    AnchorAck,
    Applied,
    CausalRead,
    CausalReadReply,
    Home,
    Record,
    RecordAck,
    StrongRead,
    StrongReadReply,
)
from replica.core.node import BUSY, EXPIRED, GAP, NOSESSION
from replica.core.replica import Replica
from replica.core.witness import Run
from statemachine.command import CAS_VALUE, CAUSAL, CLOSE, DELETE, EXPIRE, NOOP, OPEN, PUT
from tests.replica.core.stand import LINK, OTHER, A, B, Stand, ack, causal_read, columns, record, refusal
from tests.replica.core.witness_oracle import Held, Oracle

if TYPE_CHECKING:
    from replica.core.messages import Value

# -------------------------------------------------------------------------------------------------------------------------- verdicts


def test_a_strong_command_is_held_accepted_and_answered_in_the_same_turn() -> None:
    assert Stand().say(record(A, 1, (PUT, b"x"), (PUT, b"y"))) == [ack(A, 2, 2)]


def test_a_conflict_is_held_and_not_accepted() -> None:
    stand = Stand()
    stand.say(record(A, 1, (PUT, b"x")))
    assert stand.say(record(B, 1, (PUT, b"x")), link=OTHER) == [ack(B, 1, 0)]


def test_a_causal_write_is_answered_by_the_home_alone() -> None:
    stand = Stand()
    assert stand.say(record(A, 1, (PUT | CAUSAL, b"x"))) == []
    assert stand.say(Home([A], home=True), record(A, 2, (PUT | CAUSAL, b"x"))) == [ack(A, 2, 2)]
    assert stand.say(Home([A], home=False), record(A, 3, (PUT | CAUSAL, b"x"))) == []


def test_one_frame_of_many_sessions_is_one_answer() -> None:
    stand = Stand()
    frame = Record([A, B], [1, 1], [2, 1], [0, 0], [1, 1], *columns((PUT, b"x"), (PUT, b"y"), (PUT, b"z")))
    assert stand.say(frame) == [RecordAck(1, 1, [A, B], [2, 1], [2, 1], [])]
    assert stand.replica.node.witness.chains[A].runs[0].keys == [b"x", b"y"]


def test_a_hole_is_refused_and_nothing_of_it_is_kept() -> None:
    stand = Stand()
    assert stand.say(record(A, 3, (PUT, b"x"))) == [RecordAck(1, 1, [A], [0], [0], [[A, GAP]])]
    assert stand.levels() == (0, 0, 0)
    assert stand.say(record(A, 1, (PUT, b"a"), (PUT, b"b"), (PUT, b"x"))) == [ack(A, 3, 3)]


@pytest.mark.parametrize("mode", ["ho", "curp"])
def test_where_witnesses_see_all_commands_a_hole_is_one_whatever_the_client_says(mode: Mode) -> None:
    stand = Stand(mode)
    assert stand.say(record(A, 3, (PUT, b"x"), previous=0)) == [RecordAck(1, 1, [A], [0], [0], [[A, GAP]])]


def test_in_ht_commands_that_no_witness_sees_are_no_hole() -> None:
    stand = Stand("ht")
    assert stand.say(record(A, 3, (PUT, b"x"), previous=0)) == [ack(A, 0, 3)], "what a follower holds is nobody's word for it"
    assert stand.say(record(A, 9, (PUT, b"y"), previous=7)) == [RecordAck(1, 1, [A], [0], [3], [[A, GAP]])]
    assert stand.say(record(A, 6, (PUT, b"y"), previous=3)) == [ack(A, 0, 6)]
    stand.log(A, 1, (PUT | CAUSAL, b"a"), (PUT | CAUSAL, b"b"), (PUT, b"x"), (PUT | CAUSAL, b"c"))
    assert stand.levels() == (4, 6, 6)


def test_a_resent_command_is_held_once_and_answered_again() -> None:
    stand = Stand()
    again = record(A, 1, (PUT, b"x"), (PUT, b"y"))
    stand.say(again)
    assert stand.say(again) == [ack(A, 2, 2)]
    assert stand.say(record(A, 2, (PUT, b"y"), (PUT, b"z"))) == [ack(A, 3, 3)]
    assert stand.replica.node.witness.commands == 3


def test_a_committed_command_that_comes_late_is_answered_as_done_and_kept_nowhere() -> None:
    """D13: the prototype kept it for ever."""
    stand = Stand()
    stand.log(A, 1, (PUT, b"x"))
    answers = stand.say(record(A, 1, (PUT, b"x")))
    assert ack(A, 1, 1) in answers
    assert Applied(1, 1, False, 3, [A], [1], []) in answers
    assert (stand.levels(), stand.replica.node.witness.commands) == ((1, 1, 1), 0)


def test_a_resend_of_which_a_part_is_committed_is_told_of_that_part() -> None:
    stand = Stand()
    stand.log(A, 1, (PUT, b"x"), (PUT, b"y"))
    answers = stand.say(record(A, 1, (PUT, b"x"), (PUT, b"y"), (PUT, b"z")))
    assert answers == [ack(A, 3, 3), Applied(1, 1, False, 4, [A], [2], [])]


def test_a_resend_is_told_the_outcomes_of_what_was_sent_again_and_no_others() -> None:
    """Each frame of a long resend would else be answered with all that the session keeps."""
    stand = Stand()
    stand.log(A, 1, *[(CAS_VALUE, b"x")] * 9)
    stand.log(B, 1, (CAS_VALUE, b"y"))
    (note,) = [section for section in stand.say(record(A, 4, *[(CAS_VALUE, b"x")] * 3)) if isinstance(section, Applied)]
    assert note == Applied(1, 1, False, 12, [A], [9], [[A, number, 0] for number in (4, 5, 6)])
    (note,) = [section for section in stand.say(record(A, 9, *[(CAS_VALUE, b"x")] * 3)) if isinstance(section, Applied)]
    assert note.results == [[A, 9, 0]], "what is not applied has none"


def test_what_was_refused_is_acknowledged_when_its_obstacle_commits() -> None:
    stand = Stand()
    stand.say(record(A, 1, (PUT, b"x")))
    stand.say(record(B, 1, (PUT, b"x"), (PUT, b"y")), link=OTHER)
    assert stand.log(A, 1, (PUT, b"x")) == {OTHER: [ack(B, 2, 2)]}


@pytest.mark.parametrize("kind", [PUT, PUT | CAUSAL])
def test_at_the_limit_a_command_is_busy_and_nothing_is_stored(kind: int) -> None:
    stand = Stand(witness_commands_max=2)
    assert stand.say(record(A, 1, (PUT, b"x"), (PUT, b"y"))) == [ack(A, 2, 2)]
    assert stand.say(record(A, 3, (kind, b"z"))) == [RecordAck(1, 1, [A], [2], [2], [[A, BUSY]])]
    stand.log(A, 1, (PUT, b"x"), (PUT, b"y"))
    assert stand.say(record(A, 3, (PUT, b"z"))) == [ack(A, 3, 3)]


def test_a_session_that_ended_is_refused_by_name() -> None:
    stand = Stand()
    stand.log(system=[[EXPIRE, A], [CLOSE, B]])
    assert stand.say(record(A, 1, (PUT, b"x"))) == [refusal(A, EXPIRED)]
    assert stand.say(record(B, 1, (PUT, b"x"))) == [refusal(B, NOSESSION)]


# ---------------------------------------------------------------------------------------------------------------------------- anchors


def test_an_anchor_confirms_the_view_and_pins_the_chain() -> None:
    stand = Stand()
    stand.say(record(A, 1, (PUT | CAUSAL, b"x"), (PUT | CAUSAL, b"y")))
    assert stand.say(Anchor([A, B], [1, 0], [5, 8])) == [AnchorAck(1, 1, [A, B], [5, 8], [1, 0])]
    assert stand.say(record(B, 1, (PUT, b"x")), link=OTHER) == [ack(B, 1, 0)]
    assert stand.say(Anchor([A], [1], [6])) == [AnchorAck(1, 1, [A], [6], [1])]


def test_an_anchor_that_cannot_pin_confirms_the_view_all_the_same() -> None:
    stand = Stand()
    stand.say(record(B, 1, (PUT, b"x")), link=OTHER)
    stand.say(record(A, 1, (PUT | CAUSAL, b"x")))
    assert stand.say(Anchor([A, 99], [1, 3], [4, 4])) == [AnchorAck(1, 1, [A, 99], [4, 4], [0, 0])]
    stand.log(B, 1, (PUT, b"x"))
    assert stand.say(Anchor([A], [1], [4])) == [AnchorAck(1, 1, [A], [4], [1])]


# ----------------------------------------------------------------------------------------------------------------------- causal reads


def test_a_read_is_answered_out_of_the_applied_prefix() -> None:
    stand = Stand()
    stand.log(A, 1, (PUT, b"x"), (PUT, b"y"), (DELETE, b"y"))
    stand.say(record(A, 4, (PUT | CAUSAL, b"x")))
    (reply,) = stand.say(causal_read(A, 7, 5, b"x", b"y", b"z", [b"", None, 9]))
    scan: Value = [[[b"x", b"v", 3]], False]
    assert reply == CausalReadReply(5, 0, [A], [7], [4], [3], [b"v", None, None, scan], [3, 5, 0, 5], [])


def test_a_scan_counts_as_having_seen_the_whole_prefix() -> None:
    """It also shows what is gone: no version of its rows says when."""
    stand = Stand()
    stand.log(A, 1, (PUT, b"x"), (DELETE, b"x"))
    (reply,) = stand.say(causal_read(A, 1, 0, [b"", None, 9]))
    assert isinstance(reply, CausalReadReply)
    assert (reply.values, reply.versions) == ([[[], False]], [4])


def test_a_read_whose_floor_is_not_applied_waits_for_it() -> None:
    stand = Stand()
    frame = CausalRead([A, B], [1, 1], [1, 2], [2, 3], [b"x", b"y", b"x"])
    assert stand.say(frame) == [CausalReadReply(2, 0, [A], [1], [1], [0], [None], [0], [])]
    assert stand.log(A, 1, (PUT, b"x")) == {LINK: [CausalReadReply(3, 0, [B], [1], [2], [0], [None, b"v"], [0, 3], [])]}


def test_a_session_that_has_ended_is_told_so_and_is_shown_nothing() -> None:
    """Its client does not know which of its own writes are applied, and would lay all of them over what is newer."""
    stand = Stand()
    stand.log(A, 1, (PUT, b"x"))
    stand.log(system=[[EXPIRE, A]])
    frame = CausalRead([A, B], [1, 1], [2, 1], [0, 0], [b"x", b"y", b"x"])
    assert stand.say(frame) == [refusal(A, EXPIRED), CausalReadReply(4, 0, [B], [1], [1], [0], [b"v"], [3], [])]
    assert stand.say(causal_read(A, 3, 0, b"x")) == [refusal(A, EXPIRED)]


def test_what_waits_for_its_floor_is_told_so_too() -> None:
    stand = Stand()
    assert stand.say(causal_read(A, 1, 3, b"x")) == []
    assert stand.log(system=[[EXPIRE, A]]) == {LINK: [refusal(A, EXPIRED)]}


def test_a_read_that_waited_too_long_is_told_that_this_replica_lags() -> None:
    stand = Stand()
    assert stand.say(causal_read(A, 1, 9, b"x", b"y")) == []
    assert stand.replica.deadline() == pytest.approx(0.1)
    stand.now = 0.05
    assert stand.say(causal_read(B, 4, 9, b"x")) == []
    stand.now = 0.1
    assert stand.turn() == {LINK: [CausalReadReply(2, 0, [], [], [], [], [], [], [[A, 1, 2]])]}
    assert stand.replica.deadline() == pytest.approx(0.15)


def test_too_many_waiting_reads_are_dropped() -> None:
    stand = Stand(reads_waiting_max=1)
    stand.say(causal_read(A, 1, 3, b"x"), causal_read(B, 1, 3, b"x"))
    told = stand.log(A, 1, (PUT, b"x"))
    assert [message.sessions for message in told[LINK] if isinstance(message, CausalReadReply)] == [[A]]


def test_causal_reads_that_wait_are_counted_each_and_one_run_is_taken_whole() -> None:
    stand = Stand(reads_waiting_max=3)
    stand.say(causal_read(A, 1, 3, b"x", b"y"), causal_read(B, 1, 3, b"x", b"y"), causal_read(B, 3, 3, b"x"))
    voter = stand.replica.voter
    assert ([read.first for read in voter.waiting], voter.waiting_count) == ([1, 3], 3)
    stand.log(A, 1, (PUT, b"x"))
    assert voter.waiting_count == 0
    stand.say(causal_read(A, 9, 9, b"x", b"y", b"x", b"y"))
    assert voter.waiting_count == 4
    stand.step(LinkDown(LINK))
    assert voter.waiting_count == 0


def test_a_link_that_is_gone_takes_its_waiting_reads_with_it() -> None:
    stand = Stand()
    stand.say(causal_read(A, 1, 3, b"x"))
    stand.say(causal_read(B, 1, 3, b"x"), link=OTHER)
    stand.step(LinkDown(LINK))
    assert list(stand.log(A, 1, (PUT, b"x"))) == [OTHER]


def test_an_unknown_session_may_read() -> None:
    (reply,) = Stand().say(causal_read(77, 1, 0, b"x"))
    assert isinstance(reply, CausalReadReply)
    assert reply.applied == [0]


# -------------------------------------------------------------------------------------------------------------- the home's notes


def test_the_home_notes_what_it_applied_with_its_next_frame_or_soon_after() -> None:
    stand = Stand()
    stand.say(Home([A], home=True))
    assert stand.log(A, 1, (PUT, b"x")) == {}
    assert stand.replica.deadline() == pytest.approx(0.001)
    (held, note) = stand.say(record(A, 2, (PUT, b"y")))
    assert (held, note) == (ack(A, 2, 2), Applied(1, 1, False, 3, [A], [1], []))
    stand.log(A, 2, (PUT, b"y"))
    stand.now = stand.replica.deadline()
    assert stand.turn() == {LINK: [Applied(1, 1, False, 4, [A], [2], [])]}


def test_a_link_that_takes_its_notes_with_it_leaves_no_deadline_behind() -> None:
    """A deadline that stays in the past is a loop without a pause."""
    stand = Stand()
    stand.say(Home([A], home=True))
    stand.log(A, 1, (PUT, b"x"))
    stand.step(LinkDown(LINK))
    stand.now = 1.0
    stand.turn()
    assert stand.replica.deadline() > stand.now


# ------------------------------------------------------------------------------------------------------------------ against brute force


@pytest.mark.parametrize("seed", range(40))
def test_resends_gaps_and_commits_in_any_order_end_in_the_verdicts_of_the_rule(seed: int) -> None:
    """Each session sends its commands in runs that overlap, repeat and leave holes; the log commits what it likes."""
    rng, stand = random.Random(seed), Stand()
    oracle, planned = Oracle({A: Held(), B: Held()}), dict[int, list[tuple[int, bytes]]]()
    for session in (A, B):
        kinds = (PUT, DELETE, CAS_VALUE, PUT | CAUSAL)
        planned[session] = [(rng.choice(kinds), rng.choice((b"x", b"y", b"z"))) for _ in range(40)]
    known: dict[int, tuple[int, int]] = {A: (0, 0), B: (0, 0)}  # what the client was told
    for _ in range(80):
        session = rng.choice((A, B))
        held = oracle.sessions[session]
        if rng.random() < 0.3 and held.held > held.committed and held.committed < 36:
            count = rng.randint(1, held.held - held.committed)
            told = stand.log(session, held.committed + 1, *planned[session][held.committed : held.committed + count])
            oracle.commit(session, held.committed + count)
            answers = told.get(LINK, [])
        else:
            first = max(1, min(held.held + rng.choice((-3, -1, 0, 1, 1, 1, 1, 2)), 38))
            commands = planned[session][first - 1 : first - 1 + rng.randint(1, 3)]
            answers = stand.say(record(session, first, *commands))
            if first <= held.held + 1 < first + len(commands):
                oracle.hold(session, held.held + 1, commands[held.held + 1 - first :])
            elif first > held.held + 1:
                assert [session, GAP] in [refused for message in answers if isinstance(message, RecordAck) for refused in message.refusals]
        for message in answers:
            if isinstance(message, RecordAck):
                known |= {s: (h, a) for s, h, a in zip(message.sessions, message.held, message.accepted, strict=True)}
        for s, chain in stand.replica.node.witness.chains.items():
            oracle.adopt(s, chain.accepted, chain.anchored)
            assert (chain.committed, chain.held) == (oracle.sessions[s].committed, oracle.sessions[s].held)
            strong = [number for number in oracle.sessions[s].strong() if number <= known[s][1]]
            assert set(strong) <= oracle.sessions[s].ok, "an acceptance that nobody gave"
        oracle.check()


def test_a_leader_that_holds_a_chain_with_a_hole_logs_none_of_it() -> None:
    """As a follower of mode ht it may have held what lacks causal writes."""
    replica = Replica(CoreConfig(id=0, voters=(0, 1, 2), mode="ht"))
    chain = replica.node.witness.open(7)
    replica.node.applied_position = 9
    replica.node.witness.hold(chain, Run(2, 2, b"\0", [b"x"], [b"v"], 1), 0.0)
    replica.step(Received(LINK, [record(7, 3, (PUT, b"y"))]), 0.0)
    ((_, sections),) = replica.take_effects(0.0).replies
    assert [section.refusals for section in sections if isinstance(section, RecordAck)] == [[[7, GAP]]]
    assert [entry.keys for entry in replica.node.log.entries] == [[]]


def test_the_leader_as_home_acknowledges_too() -> None:
    replica = Replica(CoreConfig(id=0, voters=(0,)))
    replica.step(LinkUp(LINK, peer=False), 0.0)
    replica.take_effects(0.0)
    replica.apply(100)
    replica.leader.draft.system.append([OPEN, b"t", 30.0])  # type: ignore[union-attr]
    replica.leader.draft.system.append([NOOP])  # type: ignore[union-attr]
    replica.take_effects(0.0)
    (session,) = replica.node.witness.chains
    replica.step(Received(LINK, [Home([session], home=True), record(session, 1, (PUT | CAUSAL, b"x"))]), 0.0)
    replica.step(Received(LINK, [StrongRead([session], [1], [1], [1], [b"x"])]), 0.0)
    ((_, sections),) = replica.take_effects(0.0).replies
    assert any(isinstance(section, RecordAck) and section.held == [1] for section in sections)
    assert any(isinstance(section, StrongReadReply) and section.values == [b"v"] for section in sections)


def test_a_session_has_only_so_many_commands_on_their_way_but_one_run_is_taken_whole() -> None:
    stand = Stand(commands_in_flight_max=2)
    assert stand.say(record(A, 1, (PUT, b"x"), (PUT, b"y"), (PUT, b"z"))) == [ack(A, 3, 3)]
    assert stand.say(record(A, 4, (PUT, b"w"))) == [RecordAck(1, 1, [A], [3], [3], [[A, BUSY]])]
    stand.log(A, 1, (PUT, b"x"), (PUT, b"y"), (PUT, b"z"))
    assert stand.say(record(A, 4, (PUT, b"w"))) == [ack(A, 4, 4)]
