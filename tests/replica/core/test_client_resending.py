from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from replica.core.messages import (
    CausalRead,
    ReadIndex,
    Record,
)
from replica.core.node import BUSY, GAP
from replica.core.resending import BACKOFF_MAX, QUEUED_BYTES_MAX
from tests.replica.core.caller import SESSION, Caller, results

if TYPE_CHECKING:
    from replica.core.config import Mode


def kinds(caller: Caller) -> dict[int, list[str]]:
    """End the turn; returns the names of what each replica is sent."""
    return {replica: [type(message).__name__ for message in frame] for replica, frame in caller.sent().items()}


# -------------------------------------------------------------------------------------------------------------------------- resending


def test_commands_without_progress_are_sent_again_under_their_numbers() -> None:
    caller = Caller()
    caller.put(b"a", b"b")
    caller.put(b"c")
    caller.sent()
    caller.applied(0, 1)
    caller.wait(0.2)
    assert caller.sections(Record) == []
    caller.wait(0.2)
    frames = caller.sent()
    (again,) = frames[2]
    assert again == Record([SESSION], [2], [2], [1], [1], bytes(2), [b"b", b"c"], [b"vb", b"vc"])
    assert set(frames) == {0, 1, 2}
    assert caller.client.resent == 3


def test_pauses_between_resends_double_up_to_a_limit_and_progress_ends_them() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.put(b"b")
    caller.sent()
    times: list[float] = []
    while len(times) < BACKOFF_MAX + 3:
        caller.wait(0.05)
        if caller.sections(Record, 0):
            times.append(caller.now)
    gaps = [later - sooner for sooner, later in zip([0.0, *times], times, strict=False)]
    assert [round(math.log2(gap / 0.25)) for gap in gaps] == [0, 1, 2, 3, 4, 5, 5, 5]
    caller.wait(0.01)
    caller.applied(0, 1)
    start = caller.now
    while not caller.sections(Record, 0):
        caller.wait(0.05)
    assert caller.now - start < 0.5


def test_an_outcome_that_was_lost_is_asked_for_though_the_session_goes_on() -> None:
    """The outcome of a cas is told once, by the leader alone; what else a session does must not keep its question away."""
    caller = Caller()
    caller.cas(b"k", handle="cas")
    asked = []
    for number in range(2, 80):
        caller.put(b"x", causal=True)
        caller.ack(1, number)
        caller.applied(1, number)
        caller.wait(0.1)
        again = [record for record in caller.sections(Record, 0) if record.firsts[0] == 1]
        asked += [caller.now] * len(again)
    resends = [round(time, 1) for time in asked if time > 0.2]
    assert len(resends) == 3
    assert all(later - sooner >= 2.0 for sooner, later in pairwise(resends))
    assert [completion.handle for completion in caller.applied(0, 80, [1, 1])] == ["cas"]


@pytest.mark.parametrize("reason", [GAP, BUSY])
def test_a_replica_that_has_a_hole_or_no_room_is_sent_all_again_soon(reason: int) -> None:
    caller = Caller()
    caller.put(b"a")
    caller.put(b"b", causal=True)
    caller.sent()
    caller.refuse(2, reason)
    caller.refuse(2, reason)
    assert caller.client.deadline() == pytest.approx(0.02)
    caller.wait(0.02)
    assert kinds(caller) == {2: ["Record"]}
    caller.wait(0.02)
    assert caller.sent() == {}


@pytest.mark.parametrize(("replica", "reason", "first"), [(2, BUSY, 3), (2, GAP, 3), (0, BUSY, 3), (0, GAP, 1)])
def test_what_a_replica_that_refused_says_it_holds_is_not_sent_to_it_again(replica: int, reason: int, first: int) -> None:
    """But for a leader's gap, which may be one of its log. Full replicas were sent all of it fifty times a second: 22 MB/s of one session."""
    caller = Caller()
    caller.put(b"a", b"b", b"c")
    caller.sent()
    caller.refuse(replica, reason, held=2)
    caller.wait(0.02)
    assert [record.firsts for record in caller.sections(Record, replica)] == [[first]]


def test_who_has_no_room_is_asked_the_more_seldom_the_longer_nothing_of_the_session_completes() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.put(b"b")
    caller.sent()
    asked = 0
    while caller.now < 20.0:
        caller.refuse(2, BUSY, held=0)
        caller.wait(0.01)
        asked += len(caller.sections(Record, 2))
    assert 20 < asked < 100
    caller.applied(0, 1)
    for _ in range(30):
        caller.wait(0.125)
        caller.applied(0, 2)  # which ends the waits
    caller.put(b"c")
    caller.sent()
    caller.refuse(2, BUSY, held=0)
    caller.wait(0.02)
    assert len(caller.sections(Record, 2)) == 1, "as soon as at first"


def test_nothing_is_sent_again_to_who_has_much_of_it_on_its_link_yet() -> None:
    """What waits in our own queue is sent again in vain, and so is all that the queue has no room for: a cluster that was slow got nothing done."""
    caller = Caller()
    caller.put(b"a")
    caller.sent()
    caller.wait(0.25, {2: QUEUED_BYTES_MAX, 0: QUEUED_BYTES_MAX - 1})
    assert {replica for replica, frame in caller.sent().items() if any(isinstance(message, Record) for message in frame)} == {0, 1}
    caller.wait(0.125, {2: QUEUED_BYTES_MAX})
    assert caller.sections(Record) == []
    caller.wait(0.125)
    assert kinds(caller) == {2: ["Record"]}


def test_not_all_is_sent_again_at_once_and_everybody_has_a_turn() -> None:
    caller = Caller()
    sessions = [caller.session, *(caller.open(b"%d" % number, number) for number in range(20, 29))]
    for session in sessions:
        session.record(bytes(1), [b"k"], [bytes(1 << 20)], None, caller.now)
    caller.sent()
    again: list[list[int]] = []
    for _ in range(4):
        caller.wait(0.125)
        again.append([record.sessions[0] for record in caller.sections(Record, 1)])
    assert again[0] == []
    assert [len(turn) for turn in again[1:]] == [4, 4, 2]
    assert sorted(number for turn in again for number in turn) == [session.id for session in sessions]


def test_a_refusal_is_forgotten_with_its_link_or_session() -> None:
    caller = Caller()
    caller.put(b"a")
    caller.sent()
    caller.refuse(2, GAP)
    caller.client.link_down(2, 0.0)
    caller.wait(0.02)
    assert caller.sections(Record) == []
    caller.refuse(0, GAP)
    caller.client.close_session(caller.session)
    caller.sent()
    caller.wait(0.02)
    assert caller.sections(Record) == []


def test_the_leader_is_asked_again_for_an_outcome_that_is_not_known() -> None:
    caller = Caller()
    caller.cas(b"x", handle="c")
    caller.put(b"y", handle="p")
    caller.sent()
    caller.applied(1, 2)
    caller.wait(0.3)
    assert [message.firsts for message in caller.sections(Record, 0)] == [[1]]
    assert results(caller.applied(0, 2, [1, 1])) == [("c", [True]), ("p", None)]
    assert caller.session.idle


def test_a_fresh_link_is_sent_what_is_not_committed() -> None:
    caller = Caller()
    caller.put(b"a", b"b")
    caller.sent()
    caller.applied(0, 1)
    caller.client.link_down(2, 0.0)
    caller.client.link_up(2, 0.0)
    frame = caller.sent()[2]
    assert [message.keys for message in frame if isinstance(message, Record)] == [[b"b"]]


@pytest.mark.parametrize(("mode", "replica", "numbers"), [("ht", 0, [1, 2, 3]), ("ht", 2, [1, 3]), ("paxos", 0, [1, 2, 3]), ("paxos", 2, [])])
def test_a_resend_holds_what_the_replica_should_have(mode: Mode, replica: int, numbers: list[int]) -> None:
    caller = Caller(mode=mode)
    caller.put(b"a")
    caller.put(b"b", causal=True)
    caller.put(b"c")
    caller.sent()
    caller.client.link_down(replica, 0.0)
    caller.client.link_up(replica, 0.0)
    sent = [message for message in caller.sent()[replica] if isinstance(message, Record)]
    found = [n for message in sent for first, count in zip(message.firsts, message.counts, strict=True) for n in range(first, first + count)]
    assert found == numbers


def test_in_ht_a_resend_says_what_the_witness_saw_last() -> None:
    """The causal command between is no hole; one that is missing before them is."""
    caller = Caller(mode="ht")
    caller.put(b"a")
    caller.put(b"b", causal=True)
    caller.put(b"c")
    caller.sent()
    caller.applied(0, 1)
    caller.client.link_down(2, 0.0)
    caller.client.link_up(2, 0.0)
    (again,) = (message for message in caller.sent()[2] if isinstance(message, Record))
    assert (again.firsts, again.previous) == ([3], [1])


def test_reads_on_their_way_over_a_broken_link_are_asked_again_with_the_next() -> None:
    """Not only by a timer, which a busy session would push ahead of it for ever."""
    caller = Caller()
    caller.strong_read(b"x")
    caller.causal_read(b"y")
    caller.sent()
    caller.client.link_down(0, 0.0)
    caller.client.link_up(0, 0.0)
    assert len(caller.sections(ReadIndex, 0)) == 1
    for replica in (0, 2, 1):
        caller.client.link_down(replica, 0.0)
    assert caller.sent() == {}
    caller.client.link_up(1, 0.0)
    assert len(caller.sections(CausalRead, 1)) == 1


def test_reads_that_are_answered_are_not_asked_again_with_the_rest_of_their_submission() -> None:
    """What does not fit a replica's queue is dropped: whoever asks for all again is sent the same beginning for ever."""
    caller = Caller()
    caller.strong_read(b"a", b"b", b"c", b"d", handle="s")
    caller.causal_read(b"e", b"f", b"g", b"h", handle="r")
    caller.sent()
    caller.strong_values(1, (b"A", 1), (b"B", 2))
    assert [completion.count for completion in caller.confirm(1, 4, 0) + caller.confirm(2, 4, 0)] == [2]
    assert [completion.first for completion in caller.causal_values(6, (b"F", 6))] == [1]
    caller.wait(0.3)
    frames = caller.sent()
    assert ReadIndex([SESSION], [3], [2], [0], [b"c", b"d"]) in frames[0]
    assert CausalRead([SESSION, SESSION], [5, 7], [1, 2], [SESSION] * 2, [b"e", b"g", b"h"]) in frames[1]
    assert results(caller.strong_values(3, (b"C", 3), (b"D", 4), indexed=True)) == [("s", [b"C", b"D"])]
    assert results(caller.causal_values(5, (b"E", 5)) + caller.causal_values(7, (b"G", 7), (b"H", 8))) == [("r", [b"E"]), ("r", [b"G", b"H"])]
    assert caller.session.idle


def test_the_rest_of_a_submission_that_lags_at_home_goes_to_the_leader_once() -> None:
    caller = Caller()
    caller.causal_read(b"a", b"b", b"c", b"d", b"e", handle="r")
    caller.sent()
    caller.causal_values(2, (b"B", 2))
    caller.causal_values(4, (b"D", 4))
    for first in (1, 3, 5):
        caller.lagging(first, 1)
    caller.wait(0.02)
    assert caller.sections(CausalRead, 0) == [CausalRead([SESSION] * 3, [1, 3, 5], [1] * 3, [SESSION] * 3, [b"a", b"c", b"e"])]
    caller.wait(0.02)
    assert caller.sections(CausalRead, 0) == []


def test_a_lost_read_of_a_busy_session_is_asked_again() -> None:
    caller = Caller()
    caller.strong_read(b"x", handle="s")
    caller.causal_read(b"y", handle="r")
    caller.sent()
    asked = set()
    for number in range(1, 120):
        caller.put(b"k")
        caller.applied(0, number)
        caller.wait(0.02)
        asked |= {type(message) for frame in caller.sent().values() for message in frame}
    assert {ReadIndex, CausalRead} <= asked


def test_many_answers_that_a_read_lags_make_one_question() -> None:
    """Questions that were asked again for want of an answer are all answered in the end: each answer that made another would keep them all going."""
    caller = Caller()
    caller.causal_read(b"x", handle="r")
    caller.sent()
    for _ in range(5):
        for replica in (1, 0, 2):
            caller.lagging(1, 1, replica)
        caller.wait(caller.client.config.refused_seconds)
        assert len(caller.sections(CausalRead)) == 1
    caller.causal_values(1, (None, 0), replica=0)
    caller.lagging(1, 1)
    caller.wait(caller.client.config.refused_seconds)
    assert caller.sections(CausalRead) == []
