from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from replica.core.config import MODES, Mode
from replica.core.messages import ReadIndex, StrongRead, StrongReadReply
from replica.core.reads import READS_TOGETHER_MAX, StrongReads
from statemachine.command import CAS_VALUE, CAUSAL
from tests.replica.core.seat import CLIENT, OTHER, Seat
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.messages import Entry, Query, Value

SCAN: list[object] = [b"a", b"c", 10]


class Desk(Seat):
    """A leader that reads; sessions 3 and 4 are open."""

    def __init__(self, mode: Mode = "ho", voters: int = 3, **config: Any) -> None:
        super().__init__(voters, mode, **config)
        self.reads = StrongReads(self.node, self.leader)
        self.node.on_applied = self.on_applied
        self.one, self.two = self.open(b"t", b"u")
        self.replies(CLIENT)

    def on_applied(self, entry: Entry) -> None:
        self.leader.on_applied(entry)
        self.reads.on_applied(entry)

    def ask(self, dependency: int, *queries: Query, session: int = 0, first: int = 1, link: object = CLIENT) -> list[StrongReadReply]:
        self.reads.on_strong_read(link, StrongRead([session or self.one], [first], [len(queries)], [dependency], list(queries)))
        return self.answers(link)

    def index(self, dependency: int, *queries: Query, session: int = 0) -> list[StrongReadReply]:
        self.reads.on_read_index(CLIENT, ReadIndex([session or self.one], [1], [len(queries)], [dependency], list(queries)))
        return self.answers()

    def answers(self, link: object = CLIENT) -> list[StrongReadReply]:
        return [message for message in self.replies(link) if isinstance(message, StrongReadReply)]

    def value(self, *replies: StrongReadReply) -> tuple[list[Value], list[int]]:
        return [value for reply in replies for value in reply.values], [version for reply in replies for version in reply.versions]


# ------------------------------------------------------------------------------------------------------------- answered in one round trip


def test_an_applied_value_comes_with_its_version() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.commit()
    assert desk.ask(0, b"x", b"y") == [StrongReadReply(1, 1, False, 0, [desk.one], [1], [2], [b"v", None], [5, 0])]


def test_own_uncommitted_writes_are_seen_without_a_version() -> None:
    """Their positions are no facts yet."""
    desk = Desk()
    desk.puts(desk.one, b"x", b"y")
    assert desk.value(*desk.ask(2, b"x", b"z")) == ([b"v", None], [0, 0])


def test_own_commands_issued_after_the_read_are_left_out() -> None:
    desk = Desk()
    desk.puts(desk.one, b"x")
    desk.commit()
    desk.append(desk.one, bytes([1]), b"x")
    assert desk.value(*desk.ask(1, b"x")) == ([b"v"], [5])


def test_own_outcomes_count_as_they_were_speculated() -> None:
    desk = Desk()
    desk.append(desk.one, bytes([CAS_VALUE, CAS_VALUE]), b"x", b"x")
    assert desk.value(*desk.ask(2, b"x")) == ([b"w"], [0]), "the first wrote, the second failed"


def test_the_chain_is_pinned_for_the_read() -> None:
    desk = Desk()
    desk.append(desk.one, bytes([CAUSAL]), b"x")
    desk.ask(1, b"y")
    assert desk.node.witness.chains[desk.one].anchored == 1
    assert desk.puts(desk.two, b"x").sessions == []


def test_several_sessions_of_one_frame_are_answered_each_by_itself() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.reads.on_strong_read(CLIENT, StrongRead([desk.one, desk.two, desk.one], [1, 1, 2], [1, 1, 1], [0, 1, 0], [b"x", b"x", b"y"]))
    (reply,) = desk.answers()
    assert (reply.sessions, reply.firsts, reply.values) == ([desk.two, desk.one], [1, 2], [b"v", None])
    desk.commit()
    (reply,) = desk.answers()
    assert (reply.sessions, reply.values, reply.versions) == ([desk.one], [b"v"], [5])


# ---------------------------------------------------------------------------------------------------------------- waiting for a commit


def test_a_read_of_anothers_uncommitted_write_waits_for_its_commit() -> None:
    """D9: the write may be lost, or may have been seen already."""
    desk = Desk()
    desk.append(desk.two, bytes([CAUSAL]), b"x")
    assert desk.ask(0, b"x") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([b"v"], [5])


def test_reads_that_waited_for_one_entry_are_answered_together_link_by_link() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x", b"y")
    for first, key, link in ((1, b"x", CLIENT), (2, b"y", CLIENT), (3, b"x", OTHER), (4, b"x", CLIENT)):
        assert desk.ask(0, key, first=first, link=link) == []
    desk.commit()
    (here,), (there,) = desk.answers(), desk.answers(OTHER)
    assert (here.sessions, here.firsts, here.counts, here.versions) == ([desk.one] * 3, [1, 2, 4], [1, 1, 1], [5, 6, 5])
    assert (there.firsts, there.values) == ([3], [b"v"])
    assert desk.reads.count == 0


def test_reads_that_waited_are_cut_to_sections_that_fit_any_frame() -> None:
    """A frame has a limit of reads, and the driver divides frames between sections only."""
    desk = Desk()
    desk.puts(desk.two, b"x")
    for first in range(1, 2 * READS_TOGETHER_MAX + 2):
        desk.ask(0, b"x", first=first)
    desk.commit()
    assert [len(reply.firsts) for reply in desk.answers()] == [READS_TOGETHER_MAX, READS_TOGETHER_MAX, 1]


def test_only_the_reads_that_meet_it_wait() -> None:
    desk = Desk()
    desk.puts(desk.two, b"b")
    replies = desk.ask(0, b"a", b"b", b"c", b"d")
    assert [(reply.firsts, reply.values) for reply in replies] == [([1, 3], [None, None, None])]
    desk.commit()
    assert [(reply.firsts, reply.values) for reply in desk.answers()] == [([2], [b"v"])]


def test_a_scan_meets_any_uncommitted_write_in_its_interval() -> None:
    """D10: an interval, not its start key."""
    desk = Desk()
    desk.puts(desk.two, b"b")
    assert desk.ask(0, SCAN) == []
    assert desk.value(*desk.ask(0, [b"c", None, 10], [b"", b"b", 1], first=5))[0] == [[[], False], [[], False]]
    desk.puts(desk.one, b"bb")
    desk.commit()
    (value,), (version,) = desk.value(*desk.answers())
    assert value == [[[b"b", b"v", 5], [b"bb", b"v", 6]], False]
    assert version == 6, "it saw the whole prefix"


def test_a_scan_meets_own_uncommitted_writes_too() -> None:
    desk = Desk()
    desk.puts(desk.one, b"b")
    assert desk.ask(1, SCAN) == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([[[[b"b", b"v", 5]], False]], [5])


def test_an_own_write_over_anothers_waits_for_both() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.turn()
    boundary = desk.node.log.last_index
    desk.puts(desk.one, b"x")
    desk.turn()
    assert desk.ask(1, b"x") == []
    desk.ack(match=boundary)
    desk.apply()
    assert desk.answers() == []
    desk.ack()
    desk.apply()
    assert desk.value(*desk.answers()) == ([b"v"], [6])


def test_an_own_write_over_anothers_loose_one_is_read_when_it_is_committed() -> None:
    """It was speculated, but recovery may put the other one behind it."""
    desk = Desk()
    desk.append(desk.two, bytes([CAUSAL]), b"x")
    desk.turn()
    boundary = desk.node.log.last_index
    assert desk.append(desk.one, bytes([1]), b"x").sessions == [desk.one]
    desk.turn()
    assert desk.ask(1, b"x") == []
    desk.ack(match=boundary)
    desk.apply()
    assert desk.answers() == []
    desk.ack()
    desk.apply()
    assert desk.value(*desk.answers()) == ([None], [6])


def test_large_values_come_in_several_frames() -> None:
    desk = Desk()
    desk.node.store.apply(bytes(8), [b"%d" % number for number in range(8)], [bytes(1 << 20)] * 8, 100)
    desk.reads.on_strong_read(CLIENT, StrongRead([desk.one], [1], [8], [0], [b"%d" % number for number in range(8)]))
    frames = [sections for _, sections in desk.node.take_replies()]
    assert len(frames) >= 2
    assert [first for frame in frames for reply in frame if isinstance(reply, StrongReadReply) for first in reply.firsts] == list(range(1, 9))


def test_a_read_behind_an_own_command_with_a_conflict_waits_for_its_commit() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.puts(desk.one, b"x")
    assert desk.ask(1, b"y") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([None], [0])


def test_a_read_whose_chain_cannot_be_pinned_waits_for_its_commit() -> None:
    """C1 and C2 bind strong reads: what the session wrote before must not be lost when the read completed."""
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.append(desk.one, bytes([CAUSAL]), b"x")
    assert desk.ask(1, b"y") == []
    assert desk.ask(0, b"y", first=2) != []
    desk.commit()
    assert desk.value(*desk.answers()) == ([None], [0])


def test_in_ht_a_read_behind_a_hidden_causal_write_waits_for_its_commit() -> None:
    desk = Desk("ht")
    desk.append(desk.one, bytes([CAUSAL]), b"x")
    assert desk.ask(1, b"x") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([b"v"], [5])


def test_in_paxos_values_are_applied_ones() -> None:
    desk = Desk("paxos")
    desk.puts(desk.two, b"x")
    assert desk.value(*desk.ask(0, b"x", SCAN)) == ([None, [[], False]], [0, 4])
    desk.puts(desk.one, b"y")
    assert desk.ask(1, b"y") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([b"v"], [6])


def test_a_dependency_that_is_not_logged_yet_is_waited_for() -> None:
    desk = Desk()
    assert desk.ask(1, b"x") == []
    desk.puts(desk.one, b"x")
    desk.reads.on_appended([desk.two, desk.one])
    assert desk.value(*desk.answers()) == ([b"v"], [0])


def test_before_its_view_is_open_a_leader_answers_from_what_opened_it() -> None:
    desk = Desk()
    desk.puts(desk.one, b"x")
    desk.commit()
    desk.leader.open_index = desk.node.log.last_index + 1
    desk.puts(desk.two, b"z")
    assert desk.ask(1, b"x") == []
    desk.commit()
    assert desk.value(*desk.answers()) == ([b"v"], [5])


def test_before_its_view_is_open_a_leader_waits_for_the_reads_dependency_too() -> None:
    """The first entry of the view may be applied before the session's own commands behind it."""
    desk = Desk()
    desk.leader.open_index = desk.node.log.last_index + 1
    desk.puts(desk.two, b"z")
    desk.turn()
    desk.puts(desk.one, b"x")
    desk.turn()
    assert desk.ask(1, b"x") == []
    desk.ack(match=desk.leader.open_index)
    desk.apply()
    assert desk.answers() == []
    desk.ack()
    desk.apply()
    assert desk.value(*desk.answers()) == ([b"v"], [6])


# ----------------------------------------------------------------------------------------------------------------------- the long way


def test_a_read_index_waits_for_a_round_that_began_after_it_and_for_all_that_is_logged() -> None:
    """6.3: neither the commit index nor an older round would do."""
    desk = Desk()
    desk.puts(desk.one, b"x")
    desk.turn()
    assert desk.index(1, b"x") == []
    desk.ack()
    desk.apply()
    desk.reads.on_confirmed()
    assert desk.answers() == [], "the round of those acks began before the read"
    assert len(desk.turn()) == 2, "a round of its own, at once"
    desk.ack(1)
    desk.reads.on_confirmed()
    (reply,) = desk.answers()
    assert (reply.indexed, reply.values, reply.versions) == (True, [b"v"], [5])


def test_a_confirmed_round_is_not_enough_before_the_index_is_applied() -> None:
    desk = Desk()
    desk.puts(desk.two, b"x")
    desk.index(0, b"x")
    desk.turn()
    desk.ack(1, match=1)
    desk.reads.on_confirmed()
    assert desk.answers() == []
    desk.ack(1)
    desk.apply()
    desk.reads.on_confirmed()
    assert desk.value(*desk.answers()) == ([b"v"], [5])


def test_a_read_index_whose_dependency_is_not_logged_is_left_to_the_resend() -> None:
    desk = Desk()
    desk.index(1, b"x")
    assert (desk.reads.count, desk.leader.round_wanted) == (0, False)


@pytest.mark.parametrize("mode", MODES)
def test_a_leader_alone_confirms_itself_in_the_same_turn(mode: Mode) -> None:
    cluster = Cluster(1, mode)
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.settle()
    cluster.strong_read(session, b"x", handle="r", versioned=True)
    cluster.settle()
    assert cluster.values("r") == [b"1"]
